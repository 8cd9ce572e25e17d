"""The ablation of the paper with our code: the effect of distillation and of ALDK on a student trained by l_rec alone.

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/ablation.py --output Testing/Benchmarks/results

One command trains (the teacher, then every student: kind x cascades x seed), registers the validation pairs as the
product does (its affine stage, its grid, its warp), and prints and plots mean and standard deviation over the seeds.
Everything but the kind of knowledge, the number of cascades and the seed is the same in all runs: data, steps, rates.
Kinds: `none` (l_rec alone), `distance` (plain distillation) and `adversarial` (ALDK). The configurations are
training/configs/ablation-*.toml. The command can be stopped and run again; a run in --runs that was made with other
settings is refused. --report-only trains nothing and reports the finished runs: once the teacher is trained, several
processes can train one seed each into the same --runs (with an --output of their own), and --report-only combines them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ablation_report import MEASURES, TEACHER, Run, plot, rows_of, table
from common import benchmark_parser, brain_ring, parse, write_report
from torch import Tensor, nn

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import RecursiveCascade
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training import configuration
from LightRegistrationLib.training.configuration import (
    DistillationConfig,
    RunConfig,
    TeacherTrainingConfig,
    load_config,
)
from LightRegistrationLib.training.distillation.aldk import KNOWLEDGE_KINDS
from LightRegistrationLib.training.distillation.teacher import Teacher
from LightRegistrationLib.training.evaluation.cases import Method
from LightRegistrationLib.training.evaluation.methods import NetworkRegistry, build_model_method
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.run import EvaluationOptions, PairRecord, evaluate_pairs
from LightRegistrationLib.training.evaluation.tables import format_results_csv
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.distillation import distill, load_teacher
from LightRegistrationLib.training.trainers.teacher import train_teacher

CONFIGS = Path(configuration.__file__).parent / "configs"


@dataclass(frozen=True)
class Plan:
    """The configurations, data and folders, and the validation pairs of an ablation. train: whether to train."""

    teacher: TeacherTrainingConfig
    student: DistillationConfig
    data: Path
    runs: Path
    pairs: tuple[EvaluationPair, ...]
    minimum_voxels: int
    train: bool


def stretch_stages(config: Any, steps: int | None) -> Any:
    """Stretch the stages of a configuration to this number of steps in all."""
    planned = sum(stage.steps for stage in config.stages)
    if steps is None or steps == planned:
        return config
    ends = np.round(np.cumsum([stage.steps for stage in config.stages]) * steps / planned).astype(int)
    counts = np.diff(ends, prepend=0).tolist()
    stages = tuple(replace(stage, steps=count) for stage, count in zip(config.stages, counts, strict=True))
    config = replace(config, stages=stages)
    if isinstance(config, DistillationConfig):
        until = round(config.knowledge.until * steps / planned)
        config = replace(config, knowledge=replace(config.knowledge, until=until))
    return config


def config_of(plan: Plan, run: Run) -> DistillationConfig:
    """Make the configuration of a run: the common one with its kind, cascades and seed."""
    return replace(
        plan.student,
        name=f"{plan.student.name}-{run.name}",
        seed=run.seed,
        student=replace(plan.student.student, cascades=run.cascades),
        knowledge=replace(plan.student.knowledge, kind=run.kind),
        stages=tuple(replace(stage, cascades=run.cascades) for stage in plan.student.stages),
        validate_minutes=0.0,
    )


def planned(plan: Plan, run: Run | None) -> tuple[RunConfig[Any], Path]:
    """Return the configuration and folder of a run; None is the teacher's."""
    if run is None:
        return plan.teacher, plan.runs / TEACHER
    return config_of(plan, run), plan.runs / run.name


def finished(config: RunConfig[Any], folder: Path) -> bool:
    """Check whether a run is finished; InputError if it was made with other settings."""
    file = folder / "state.pt"
    if not file.is_file():
        return False
    state = load_state(file)
    _, changed = configuration.find_changed_settings(config, json.loads(state["config"]))
    if changed:
        raise InputError(f"{file}: this run was made with another {', '.join(changed)}; choose another folder --runs.")
    return bool(state["step"] >= sum(stage.steps for stage in config.stages))


def train(plan: Plan, run: Run | None) -> Path | None:
    """Return the state file of the teacher (None) or of a student, trained first if needed and allowed; else None."""
    config, folder = planned(plan, run)
    if not finished(config, folder):
        if not plan.train:
            return None
        print(f"training {folder.name}", flush=True)
        if isinstance(config, DistillationConfig):
            distill(config, plan.runs / TEACHER / "state.pt", plan.data, folder)
        else:
            train_teacher(plan.teacher, plan.data, folder)
    return folder / "state.pt" if finished(config, folder) else None


class TeacherAsStudent(nn.Module):
    """Gives a teacher the interface of a student."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, fixed: Tensor, moving: Tensor, cascades: int | None) -> tuple[Tensor, list[Tensor]]:
        """Return the whole flow and those of the teacher's cascades; `cascades` has no effect."""
        result = self.teacher(fixed, moving)
        return result.flow, list(result.cascade_flows)


def method_of(plan: Plan, name: str, network: nn.Module, cascades: int | None) -> Method:
    """Make the method that registers with a network as the product does, on the grid of the students' training."""
    config = plan.student
    registry = NetworkRegistry(
        name,
        network.eval().requires_grad_(False),
        GridSettings(**config.grid),
        IntensityNormalization(**config.intensity),
        config.card.get("modality", "MRI"),
    )
    digest = hashlib.sha256(json.dumps([config.grid, config.intensity, cascades]).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.contiguous().numpy().tobytes())
    return build_model_method(name, digest.hexdigest(), RegistrationSettings(name, cascades), registry)


def evaluate(plan: Plan, state_file: Path, run: Run | None) -> list[PairRecord]:
    """Register the validation pairs with the network of a state."""
    if run is None:
        name, method = TEACHER, method_of(plan, TEACHER, TeacherAsStudent(load_teacher(state_file)), None)
    else:
        student = RecursiveCascade(config_of(plan, run).student)
        student.load_state_dict(load_state(state_file)["student"])
        name, method = run.name, method_of(plan, run.name, student, run.cascades)
    options = EvaluationOptions(minimum_voxels=plan.minimum_voxels, surfaces=False)
    records = evaluate_pairs(plan.pairs, [method], plan.runs / name / "evaluation", options)
    failed = [record for record in records if record.error]
    if failed:
        raise InputError(f"{failed[0].name}: {failed[0].error}")
    return [replace(record, group=name) for record in records]


def report(plan: Plan, results: dict[Run | None, list[PairRecord]], output: Path) -> str:
    """Write the results so far; return the table."""
    rows = list(rows_of(results))
    steps = [sum(stage.steps for stage in config.stages) for config in (plan.teacher, plan.student)]
    text = (
        f"{len(plan.pairs)} validation pairs, {steps[1]} steps for every student, {steps[0]} for the teacher; mean ± "
        "sd over the seeds of the mean over the pairs. `Dice above l_rec only`: of the same seeds and cascades.\n\n"
    ) + table(rows)
    values = [
        {"kind": row.kind, "cascades": row.cascades, "seed": seed, **{m: summary.mean[m] for m in MEASURES}}
        for row in rows
        for seed, summary in row.seeds.items()
    ]
    settings = {
        "teacher": configuration.config_to_dict(plan.teacher),
        "student": configuration.config_to_dict(plan.student),
    }
    write_report(output, "ablation", text, {"rows": values, "settings": settings}, plot(rows))
    every = [record for records in results.values() for record in records]
    (output / "ablation.csv").write_text(format_results_csv(every) + "\n", encoding="utf-8")
    return text


def configs_in(folder: Path) -> tuple[TeacherTrainingConfig, DistillationConfig]:
    """Find the teacher's and the student's configuration among ablation-*.toml; InputError if one is missing."""
    found = [load_config(path) for path in sorted(folder.glob("ablation-*.toml"))]
    teachers = [config for config in found if isinstance(config, TeacherTrainingConfig)]
    students = [config for config in found if isinstance(config, DistillationConfig)]
    if len(teachers) != 1 or len(students) != 1:
        raise InputError(
            f"{folder}: one ablation-*.toml of a teacher and one of a distillation are needed, found "
            f"{len(teachers)} and {len(students)}."
        )
    return teachers[0], students[0]


def pairs_of(data: Path, group: str | None) -> list[EvaluationPair]:
    """Read the pairs of an anatomy in the manifest, or the 15 of the brain ring."""
    return brain_ring(data) if group is None else read_pairs(data / "manifest.json", [group])


def carry_out(plan: Plan, runs: Sequence[Run], output: Path) -> str:
    """Train and evaluate everything that is not finished; return the table. The report is renewed after each run."""
    for run in (None, *runs):
        finished(*planned(plan, run))  # settings that do not fit raise an error before the first training
    results: dict[Run | None, list[PairRecord]] = {}
    text = ""
    for run in (None, *runs):
        state_file = train(plan, run)
        if state_file is None:
            continue
        results[run] = evaluate(plan, state_file, run)
        text = report(plan, results, output)
    if not results:
        raise InputError(f"{plan.runs}: no run is finished; run the command without --report-only.")
    return text


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/ablation/results"))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the training runs")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="folder of ablation-*.toml")
    parser.add_argument("--kinds", nargs="+", choices=KNOWLEDGE_KINDS, default=list(KNOWLEDGE_KINDS))
    parser.add_argument("--cascades", nargs="+", type=int, choices=(1, 2, 3), default=[1, 2, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, help="of each student, default: as configured")
    parser.add_argument("--teacher-steps", type=int, help="default: as configured")
    parser.add_argument("--group", help="anatomy of the validation pairs in manifest.json; default: the brain ring")
    parser.add_argument("--minimum-voxels", type=int, default=100)
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    arguments = parse(parser)
    try:
        teacher, student = configs_in(arguments.configs)
        plan = Plan(
            replace(stretch_stages(teacher, arguments.teacher_steps), validate_minutes=0.0),
            stretch_stages(student, arguments.steps),
            arguments.data,
            arguments.runs,
            tuple(pairs_of(arguments.data, arguments.group)),
            arguments.minimum_voxels,
            not arguments.report_only,
        )
        # Seed by seed, so that an interrupted command leaves complete results for the first seeds.
        runs = [Run(k, c, s) for s, c, k in product(arguments.seeds, arguments.cascades, arguments.kinds)]
        print(carry_out(plan, runs, arguments.output))
    except InputError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
