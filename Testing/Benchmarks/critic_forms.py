"""Which discriminator moves a student toward its teacher: a toy whose true deformations are known.

    .venv/bin/python Testing/Benchmarks/critic_forms.py --output Testing/Benchmarks/results

Each pair is one random texture, once as it is and once under a random smooth deformation, both with noise; the teacher
says the true deformation. Students are trained from the same store with the same steps: by l_rec alone, with the
distance to the truth, and with the discriminator in its forms. The error is the root mean square of the difference to
the truth over pairs that were kept out, as a share of that of the truth. The toy takes no data and a few minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from common import new_figure, use_threads, write_report
from torch import Tensor

from LightRegistrationLib.core.network.cascade import CascadeConfig
from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.core.sampling.filters import gaussian
from LightRegistrationLib.training.configuration import DistillationConfig, DistillationStage
from LightRegistrationLib.training.data.augmentation import elastic_flow
from LightRegistrationLib.training.data.pairs import Pair
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.distillation.lesson import Lesson
from LightRegistrationLib.training.distillation.store import StoreConfig
from LightRegistrationLib.training.evaluation.tables import format_markdown_table
from LightRegistrationLib.training.loop.trainer import make_generator
from LightRegistrationLib.training.sources import SourceConfig
from LightRegistrationLib.training.trainers.distillation import DistillationTrainer

SHAPE = (32, 32, 32)
SPACING_MM, NODE_MM, SIZE_VOXELS = 4.0, 60.0, 1.2
TEXTURE_VOXELS, NOISE, PAIRS, KEPT_OUT, KEPT_OUT_SEED = 2.0, 0.03, 1024, 8, 99
PUBLISHED = DiscriminatorConfig(channels=(16, 32, 64, 128), rate=1e-3)
RELATIVISTIC = DiscriminatorConfig(channels=(16, 32, 64), rate=1e-3, form="relativistic")


def draw_truth(generator: torch.Generator) -> tuple[Pair, Tensor]:
    """Draw a pair and its true deformation (1, 3, D, H, W), voxels."""
    flow = elastic_flow(SHAPE, SPACING_MM, 1.0, NODE_MM, generator)
    flow = flow * SIZE_VOXELS / flow.square().mean().sqrt()
    texture = gaussian(torch.randn(1, 1, *SHAPE, generator=torch.Generator().manual_seed(0)), TEXTURE_VOXELS)
    moving = (0.5 + 0.2 * texture / texture.std()).clamp(0, 1)
    clean = warp(moving, flow), moving
    seen = [(image + NOISE * torch.randn(image.shape, generator=generator)).clamp(0, 1) for image in clean]
    return Pair(seen[0], seen[1], *clean), flow


class KnownSource:
    """Draws pairs, and remembers the truth of the latest one for the teacher."""

    spacing_mm = SPACING_MM
    shape = SHAPE
    latest: ClassVar[Tensor]

    def draw(self, generator: torch.Generator) -> Pair:
        """Draw a pair (N = 1)."""
        pair, KnownSource.latest = draw_truth(generator)
        return pair


@dataclass(frozen=True, kw_only=True)
class KnownSourceConfig(SourceConfig):
    """The source in a configuration."""

    kind: ClassVar[str] = "known"

    def open(self, data: Path, cache: Path, spacing_mm: float) -> KnownSource:
        """Open the source; nothing has to be prepared."""
        return KnownSource()


class KnownTeacher:
    """Says the truth of the pair that was drawn last."""

    identity: Mapping[str, Any] = {"kind": "known"}

    def teach(self, pair: Pair, number: int | None = None) -> Lesson:
        """The truth, for the store."""
        return Lesson.of(KnownSource.latest)


@dataclass(frozen=True)
class Variant:
    """A way to teach; critic_every as in the published schedule or more often."""

    title: str
    kind: str
    critic: DiscriminatorConfig = PUBLISHED
    critic_every: int = 1
    gamma: float = 0.7


VARIANTS = (
    Variant("l_rec only", "none"),
    Variant("+ distance", "distance"),
    Variant("+ published", "adversarial", critic_every=2),
    Variant("+ published, more updates", "adversarial"),
    Variant("+ relativistic, without the images", "adversarial", replace(RELATIVISTIC, images=False)),
    Variant("+ relativistic", "adversarial", RELATIVISTIC),
    Variant("+ relativistic, two updates", "adversarial", replace(RELATIVISTIC, updates=2)),
)


def train(variant: Variant, seed: int, steps: int, folder: Path) -> dict[str, float]:
    """Train a student and measure its error; store: shared by all runs in the folder."""
    config = DistillationConfig(
        name="critic-forms",
        seed=seed,
        sources=(KnownSourceConfig(),),
        stages=(DistillationStage(steps=steps, spacing_mm=SPACING_MM, smoothness=0.02, final_rate=1e-4),),
        student=CascadeConfig(cascades=1),
        knowledge=KnowledgeConfig(variant.kind, variant.gamma, every=1, until=steps, critic_every=variant.critic_every),
        critic=variant.critic,
        store=StoreConfig(PAIRS, "half", seed=1),
        checkpoint_minutes=0.0,
        validate_minutes=0.0,
        bfloat16=False,
    )
    with TemporaryDirectory(dir=folder) as output:
        trainer = DistillationTrainer(config, KnownTeacher(), folder, Path(output), store=folder / "store")
        trainer.run()
        pairs = [draw_truth(make_generator(KEPT_OUT_SEED, 1 + n)) for n in range(KEPT_OUT)]
        with torch.no_grad():
            found = [trainer.predict_student_flow(pair, 1)[0] for pair, _ in pairs]
    errors = [float((flow - truth).square().mean()) for flow, (_, truth) in zip(found, pairs, strict=True)]
    return {"error": float(np.sqrt(np.mean(errors))) / SIZE_VOXELS, "cpu_seconds": trainer.cpu_seconds}


def table(results: Mapping[str, list[dict[str, float]]]) -> str:
    """Write mean ± standard deviation over the seeds."""
    body = []
    for title, runs in results.items():
        errors = [run["error"] for run in runs]
        spread = f" ± {np.std(errors, ddof=1):.3f}" if len(errors) > 1 else ""
        body.append([title, f"{np.mean(errors):.3f}{spread}", f"{np.mean([run['cpu_seconds'] for run in runs]):.0f}"])
    return format_markdown_table(["", "error, share of the truth", "CPU s"], body)


def plot(results: Mapping[str, list[dict[str, float]]]) -> Any:
    """Plot the error of every run."""
    figure, ((axes,),) = new_figure(1, width=8, height=3.5)
    for row, (title, runs) in enumerate(results.items()):
        errors = [run["error"] for run in runs]
        axes.plot(errors, [row] * len(errors), ".", color=f"C{row}")
        axes.plot(np.mean(errors), row, "|", color=f"C{row}", markersize=16, label=title)
    axes.set(yticks=range(len(results)), yticklabels=list(results), xlabel="error, share of the truth")
    axes.invert_yaxis()
    axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/critic-forms"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    results: dict[str, list[dict[str, float]]] = {}
    with TemporaryDirectory() as folder:
        for variant in VARIANTS:
            results[variant.title] = [train(variant, s, arguments.steps, Path(folder)) for s in arguments.seeds]
            print(variant.title, [f"{run['error']:.3f}" for run in results[variant.title]], flush=True)
    text = f"{arguments.steps} steps, {len(arguments.seeds)} seeds, {KEPT_OUT} pairs that were kept out.\n\n"
    values = {"rows": results, "steps": arguments.steps, "seeds": arguments.seeds}
    write_report(arguments.output, "critic_forms", text + table(results), values, plot(results))
    print(text + table(results))


if __name__ == "__main__":
    main()
