"""The ablation of the paper with our code: what teaching a student is worth, by distance and by a discriminator (ALDK).

    LIGHTREG_DATA=<data> .venv/bin/python Testing/Benchmarks/ablation.py --output Testing/Benchmarks/results

One command trains (the teachers, then every student: condition x cascades x seed), registers the validation pairs as
the product does (its affine stage, its grid, its warp), and prints and plots mean and standard deviation over the
seeds. Conditions: `none` (l_rec alone), and for each teacher `distance` (plain distillation) and `adversarial` (ALDK).
Teachers: `network`, trained as ablation-teacher.toml says, `refinement`, the product's refinement of the noise-free
images, and `refreshed`, the same, whose fields are refined anew from the student's deformations after half of the
steps. Everything but the condition, the number of cascades and the seed is the same in all runs: data, steps, rates,
and the pairs, which all runs read from a store. The configurations are training/configs/ablation-*.toml. --setting
says how the students are trained: as published (l_rec of the whole images, one cascade), or as brain-mri is (`own`:
local correlation and tissues of the noise-free images, local z-scores, cascades from coarse to fine); each setting
needs a folder --runs and --output of its own.

The command can be stopped and run again. Finished runs are kept in --output (ablation.csv, ablation_curves.csv) and are
reused by the hash of all that they depend on, also without the folder --runs; so seeds, cascades and conditions can be
added on another day. A run in --runs that was made with other settings is refused. --report-only trains nothing. After
a teacher is trained and its store is filled, several processes can train one seed each into the same --runs (with an
--output of their own).
"""

from __future__ import annotations

import hashlib
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from ablation_report import plot, rows_of, table
from ablation_rows import (
    CURVE_MEASURES,
    MEASURES,
    STUDENTS,
    TEACHER,
    Condition,
    Finished,
    Run,
    measure_parts,
    read_curve,
    read_finished,
    settings_of,
    write_finished,
)
from common import benchmark_parser, brain_ring, parse, write_report
from compare.plan import digest
from torch import Tensor, nn

from LightRegistrationLib.core.errors import InputError
from LightRegistrationLib.core.network.cascade import RecursiveCascade
from LightRegistrationLib.core.network.intensity import IntensityNormalization
from LightRegistrationLib.core.network.settings import GridSettings
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.training import configuration, configuration_file
from LightRegistrationLib.training.configuration import (
    DistillationConfig,
    DistillationStage,
    RunConfig,
    StudentRunConfig,
    TeacherTrainingConfig,
)
from LightRegistrationLib.training.configuration_file import load_config_as
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.distillation.aldk import KNOWLEDGE_KINDS, KnowledgeConfig
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.lesson import FieldTeacher
from LightRegistrationLib.training.distillation.teaching import TeachingConfig
from LightRegistrationLib.training.evaluation.cases import Method
from LightRegistrationLib.training.evaluation.methods import NetworkRegistry, build_model_method
from LightRegistrationLib.training.evaluation.pairs import EvaluationPair, read_pairs
from LightRegistrationLib.training.evaluation.run import EvaluationOptions, PairRecord, evaluate_pairs
from LightRegistrationLib.training.evaluation.tables import summarize_method
from LightRegistrationLib.training.monitoring.monitor import NoMonitor
from LightRegistrationLib.training.monitoring.validation import Validation
from LightRegistrationLib.training.state import load_state
from LightRegistrationLib.training.trainers.distillation import distill
from LightRegistrationLib.training.trainers.teacher import train_teacher
from LightRegistrationLib.training.trainers.teachers import open_teacher

CONFIGS = Path(configuration.__file__).parent / "configs"
PUBLISHED = "published"
SETTINGS = {PUBLISHED: "ablation-student.toml", "own": "ablation-own-student.toml"}
REFRESHED = "refreshed"
TEACHERS = ("network", "refinement", REFRESHED)
NETWORK = Run(TEACHER, "network", 0, 0)
REVISION = 1
"""Raised when the same settings give other results; rows of another revision are not reused."""


@dataclass(frozen=True)
class Plan:
    """The configurations, data and folders, and the validation pairs of an ablation.

    train: whether to train. pairs_from: the teacher whose store gives its pairs to the runs without a teacher; the
    pairs of all stores are the same. is_ring: whether the validation pairs are those of the brain ring.
    """

    teacher: TeacherTrainingConfig
    student: DistillationConfig
    data: Path
    runs: Path
    pairs: tuple[EvaluationPair, ...]
    minimum_voxels: int
    train: bool
    pairs_from: str
    is_ring: bool


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
    """Make the configuration of a run: the common one with its condition, cascades and seed.

    Runs without a discriminator have its default settings, so that they are the same with any.
    """
    student = plan.student
    knowledge = replace(student.knowledge, kind=run.kind, weight=run.weight)
    if run.kind != "adversarial":
        plain = KnowledgeConfig()
        knowledge = replace(knowledge, beta=plain.beta, penalty=plain.penalty, critic_every=plain.critic_every)
    return replace(
        student,
        name=f"{student.name}-{run.name}",
        seed=run.seed,
        student=replace(student.student, cascades=run.cascades, **STUDENTS[run.student]),
        teacher=replace(student.teacher, kind=kind_of(run.teacher or plan.pairs_from)),
        knowledge=knowledge,
        critic=student.critic if run.kind == "adversarial" else DiscriminatorConfig(),
        stages=tuple(stage for whole in student.stages for stage in stages_of(run, whole)),
        validate_minutes=0.0,
    )


def kind_of(teacher: str) -> str:
    """Name the kind of a teacher in a configuration."""
    return "refinement" if teacher == REFRESHED else teacher


def stages_of(run: Run, stage: DistillationStage) -> Iterator[DistillationStage]:
    """Yield a stage as a run trains it; in two halves with the same rates if the fields are refreshed in between."""
    whole = replace(stage, cascades=run.cascades)
    if run.teacher != REFRESHED:
        yield whole
        return
    steps = whole.steps // 2
    rate = whole.rate + (whole.final_rate - whole.rate) * steps / max(whole.steps, 1)
    yield replace(whole, steps=steps, final_rate=rate)
    yield replace(whole, steps=whole.steps - steps, rate=rate, refresh=True)


def planned(plan: Plan, run: Run) -> tuple[RunConfig[Any], Path]:
    """Return the configuration and folder of a run that is trained."""
    return (plan.teacher if run == NETWORK else config_of(plan, run)), plan.runs / run.name


def key_of(plan: Plan, run: Run) -> str:
    """Hash all that the result of a run depends on: its settings, its teacher's, and the content of the pairs."""
    teacher = settings_of(plan.teacher) if run.teacher == "network" else None
    if run == NETWORK:
        own: Any = None
    elif run.kind == TEACHER:
        own = settings_of(plan.student.teacher)
    else:
        config = config_of(plan, run)
        own = settings_of(config if run.teacher else replace(config, teacher=TeachingConfig()))
    files = [{role: digest(path) for role, path in pair.files.items()} for pair in plan.pairs]
    parts = [REVISION, run.name, own, teacher, plan.student.grid, plan.student.intensity, files, plan.minimum_voxels]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def finished(config: RunConfig[Any], folder: Path) -> bool:
    """Check whether a run is finished; InputError if it was made with other settings."""
    file = folder / "state.pt"
    if not file.is_file():
        return False
    state = load_state(file)
    _, changed = configuration_file.find_changed_settings(config, json.loads(state["config"]))
    if changed:
        raise InputError(f"{file}: this run was made with another {', '.join(changed)}; choose another folder --runs.")
    return bool(state["step"] >= sum(stage.steps for stage in config.stages))


class CurveMonitor(NoMonitor):
    """Notes the validations of a run in a file, one line each."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def record_validation(self, step: int, result: Validation) -> None:
        """Append the numbers of a validation."""
        numbers = {name: value for name, value in result.numbers().items() if name in CURVE_MEASURES}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **numbers}) + "\n")


def train(plan: Plan, run: Run) -> Path | None:
    """Return the state file of a run, trained first if needed and allowed; else None."""
    config, folder = planned(plan, run)
    if not finished(config, folder):
        if not plan.train:
            return None
        print(f"training {folder.name}", flush=True)
        monitor = CurveMonitor(folder / "curve.jsonl")
        if isinstance(config, DistillationConfig):
            store = plan.runs / f"store-{config.teacher.kind}"
            distill(config, teacher_file(plan, config.teacher.kind), plan.data, folder, store=store, monitor=monitor)
        else:
            train_teacher(plan.teacher, plan.data, folder)
    return folder / "state.pt" if finished(config, folder) else None


def teacher_file(plan: Plan, kind: str) -> Path | None:
    """Return what `open_teacher` needs for a kind of teacher; the network is trained first if it is not yet."""
    return train(plan, NETWORK) if kind == "network" else None


class TeacherAsStudent(nn.Module):
    """Gives a teacher the interface of a student."""

    def __init__(self, teacher: FieldTeacher) -> None:
        super().__init__()
        self.teacher = teacher

    def forward(self, fixed: Tensor, moving: Tensor, cascades: int | None) -> tuple[Tensor, list[Tensor]]:
        """Return the whole flow, also as the only prediction; `cascades` has no effect."""
        flow = self.teacher.teach(Pair(fixed, moving, fixed, moving)).flow
        return flow, [flow]


def method_of(config: StudentRunConfig[Any], name: str, key: str, network: nn.Module, cascades: int | None) -> Method:
    """Make the method that registers with a network as the product does, on the grid of the students' training."""
    registry = NetworkRegistry(
        name,
        network.eval().requires_grad_(False),
        GridSettings(**config.grid),
        IntensityNormalization(**config.intensity),
        config.card.get("modality", "MRI"),
    )
    return build_model_method(name, key, RegistrationSettings(name, cascades), registry)


def evaluate(plan: Plan, state_file: Path | None, run: Run, key: str) -> tuple[PairRecord, ...]:
    """Register the validation pairs with the network of a state, or with a teacher."""
    if run.kind == TEACHER:
        teacher = open_teacher(replace(plan.student.teacher, kind=run.teacher), state_file)
        method = method_of(plan.student, run.name, key, TeacherAsStudent(teacher), None)
    else:
        assert state_file is not None
        student = RecursiveCascade(config_of(plan, run).student)
        student.load_state_dict(load_state(state_file)["student"])
        method = method_of(plan.student, run.name, key, student, run.cascades)
    options = EvaluationOptions(minimum_voxels=plan.minimum_voxels, surfaces=False)
    records = evaluate_pairs(plan.pairs, [method], plan.runs / run.name / "evaluation", options)
    failed = [record for record in records if record.error]
    if failed:
        raise InputError(f"{failed[0].name}: {failed[0].error}")
    return tuple(replace(record, group=run.name) for record in records)


def finish(plan: Plan, run: Run, key: str) -> Finished | None:
    """Train and evaluate a run; None if it is not trained and may not be."""
    is_trained = run.kind != TEACHER or run == NETWORK
    state_file = train(plan, run) if is_trained else None
    if is_trained and state_file is None:
        return None
    records = evaluate(plan, state_file, run, key)
    parts = measure_parts(run.name, records) if plan.is_ring else {}
    if state_file is None:
        return Finished(run, key, 0, 0.0, 0.0, records, parts)
    state = load_state(state_file)
    teaching = teaching_cpu_seconds(plan, run, state)
    curve = read_curve(state_file.parent / "curve.jsonl")
    return Finished(run, key, state["step"], state["cpu_seconds"], teaching, records, parts, curve)


def teaching_cpu_seconds(plan: Plan, run: Run, state: Mapping[str, Any]) -> float:
    """What the teacher and its store cost a run: nothing for a run that only draws its pairs from one."""
    if not run.teacher or run == NETWORK:
        return 0.0
    network = load_state(plan.runs / NETWORK.name / "state.pt")["cpu_seconds"] if run.teacher == "network" else 0.0
    return float(network) + float(state["notes"]["store_cpu_seconds"])


def report(plan: Plan, results: Sequence[Finished], output: Path) -> str:
    """Write the table, the values and the plot of finished runs; return the table."""
    rows = list(rows_of(results))
    steps = [sum(stage.steps for stage in config.stages) for config in (plan.teacher, plan.student)]
    text = (
        f"{len(plan.pairs)} validation pairs, {steps[1]} steps for every student, {steps[0]} for the teacher network, "
        f"{plan.student.store.pairs} pairs in the store; mean ± sd over the seeds of the mean over the pairs. `Dice "
        "above l_rec only`: of the same seeds and cascades. `Dice, synthesized`: of pairs drawn like those in "
        "training, but not of the store, with the structures of the label maps, at the end of the training.\n\n"
    ) + table(rows)
    values = [
        {**vars(f.run), "steps": f.steps, **{m: summarize_method(f.run.name, f.records).mean[m] for m in MEASURES}}
        for f in results
    ]
    settings = {
        "teacher": configuration_file.config_to_dict(plan.teacher),
        "student": configuration_file.config_to_dict(plan.student),
    }
    write_report(output, "ablation", text, {"rows": values, "settings": settings}, plot(rows))
    return text


def configs_in(folder: Path, setting: str) -> tuple[TeacherTrainingConfig, DistillationConfig]:
    """Load the teacher's and the student's configuration of a setting; InputError if one is missing."""
    teacher = load_config_as(folder / "ablation-teacher.toml", TeacherTrainingConfig)
    return teacher, load_config_as(folder / SETTINGS[setting], DistillationConfig)


def pairs_of(data: Path, group: str | None) -> list[EvaluationPair]:
    """Read the pairs of an anatomy in the manifest, or the 15 of the brain ring."""
    return brain_ring(data) if group is None else read_pairs(data / "manifest.json", [group])


def carry_out(plan: Plan, runs: Sequence[Run], output: Path) -> Iterator[list[Finished]]:
    """Train and evaluate everything that is not finished; yield all that are, after each run and at the end."""
    kept = read_finished(output)
    keys = {run: key_of(plan, run) for run in runs}
    for run in (run for run in runs if keys[run] not in kept and run.kind != TEACHER):
        finished(*planned(plan, run))  # settings that do not fit raise an error before the first training
    for run in (run for run in runs if keys[run] not in kept):
        result = finish(plan, run, keys[run])
        if result is not None:
            kept[result.key] = result
            write_finished(output, kept.values())
            yield [kept[keys[run]] for run in runs if keys[run] in kept]
    results = [kept[keys[run]] for run in runs if keys[run] in kept]
    if not any(result.run.kind != TEACHER for result in results):
        raise InputError(f"{plan.runs}: no student is finished; run the command without --report-only.")
    yield results


def list_runs(
    kinds: Sequence[str],
    teachers: Sequence[str],
    cascades: Sequence[int],
    seeds: Sequence[int],
    weights: Sequence[float],
) -> list[Run]:
    """List the runs: the teachers, then seed by seed, so that an interrupted command leaves complete seeds."""
    conditions: list[Condition] = [("none", "", 1.0)] if "none" in kinds else []
    conditions += product((kind for kind in kinds if kind != "none"), teachers, weights)
    runs = [Run(TEACHER, teacher, 0, 0) for teacher in teachers if teacher != REFRESHED]
    students = product(seeds, cascades, conditions)
    return runs + [Run(kind, teacher, c, seed, weight) for seed, c, (kind, teacher, weight) in students]


def add_options(parser: ArgumentParser) -> None:
    """Add the options that `make_plan` needs."""
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the training runs")
    parser.add_argument("--configs", type=Path, default=CONFIGS, help="folder of ablation-*.toml")
    parser.add_argument("--setting", choices=SETTINGS, default=PUBLISHED, help="of the students, default: published")
    parser.add_argument("--steps", type=int, help="of each student, default: as configured")
    parser.add_argument("--teacher-steps", type=int, help="of the network, default: as configured")
    parser.add_argument("--group", help="anatomy of the validation pairs in manifest.json; default: the brain ring")
    parser.add_argument("--minimum-voxels", type=int, default=100)
    parser.add_argument("--report-only", action="store_true", help="train nothing")


def make_plan(arguments: Namespace, pairs_from: str) -> Plan:
    """Make the plan of a command line. Raises InputError."""
    teacher, student = configs_in(arguments.configs, arguments.setting)
    return Plan(
        replace(stretch_stages(teacher, arguments.teacher_steps), validate_minutes=0.0),
        stretch_stages(student, arguments.steps),
        arguments.data,
        arguments.runs,
        tuple(pairs_of(arguments.data, arguments.group)),
        arguments.minimum_voxels,
        not arguments.report_only,
        pairs_from,
        arguments.group is None,
    )


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/ablation/results"))
    add_options(parser)
    parser.add_argument("--kinds", nargs="+", choices=KNOWLEDGE_KINDS, default=list(KNOWLEDGE_KINDS))
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=["network", "refinement"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--cascades", nargs="+", type=int, choices=(1, 2, 3), default=[1])
    parser.add_argument(
        "--weights",
        nargs="+",
        type=float,
        default=[1.0],
        help="of the knowledge term; default: 1, as published",
    )
    arguments = parse(parser)
    text = ""
    try:
        plan = make_plan(arguments, arguments.teachers[-1])
        runs = list_runs(arguments.kinds, arguments.teachers, arguments.cascades, arguments.seeds, arguments.weights)
        for results in carry_out(plan, runs, arguments.output):
            text = report(plan, results, arguments.output)
    except InputError as error:
        parser.exit(2, f"{error}\n")
    print(text)


if __name__ == "__main__":
    main()
