"""Which discriminator moves a student toward its teacher: a toy whose true deformations are known; half a minute.

    .venv/bin/python Testing/Benchmarks/critic_forms.py --output Testing/Benchmarks/results

A small convolutional student sees a hint, the true deformation with noise at every voxel, and says a deformation. Its
reconstruction loss knows the first component of the truth only, as images with edges along one direction do; the other
two can be learned from the teacher alone, who says the truth. New pairs are drawn in every step. The error is the root
mean square of the difference to the truth over pairs that were kept out, as a share of that of the truth, for the
components that the reconstruction loss does not see, and for all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import new_figure, use_threads, write_report
from torch import Tensor, nn

from LightRegistrationLib.core.network.flows import warp
from LightRegistrationLib.core.sampling.filters import gaussian
from LightRegistrationLib.training.data.augmentation import elastic_flow
from LightRegistrationLib.training.data.pairs import Pair, join
from LightRegistrationLib.training.distillation.aldk import KnowledgeConfig, distance_loss
from LightRegistrationLib.training.distillation.critic import make_critic
from LightRegistrationLib.training.distillation.discriminator import DiscriminatorConfig
from LightRegistrationLib.training.evaluation.tables import format_markdown_table
from LightRegistrationLib.training.loop.trainer import make_generator

SHAPE, SPACING_MM, NODE_MM, SIZE_VOXELS = (16, 16, 16), 4.0, 24.0, 1.2
HINT_NOISE, TEXTURE_VOXELS, BATCH, KEPT_OUT, GAMMA, RATE = 0.6, 1.5, 2, 32, 0.7, 3e-3
PUBLISHED = DiscriminatorConfig(channels=(16, 32, 64), rate=1e-3, form="published")
RELATIVISTIC = DiscriminatorConfig(channels=(16, 32), rate=1e-3, form="relativistic")
MEASURES = {"unseen": "error, components that l_rec does not see", "all": "error, all components"}


@dataclass(frozen=True)
class Variant:
    """A way to teach. critic_every: student's updates for one update of the discriminator."""

    title: str
    kind: str
    critic: DiscriminatorConfig = PUBLISHED
    critic_every: int = 1


VARIANTS = (
    Variant("l_rec only", "none"),
    Variant("+ distance", "distance"),
    Variant("+ published", "adversarial", critic_every=2),
    Variant("+ published, as many updates", "adversarial"),
    Variant("+ relativistic, without matching", "adversarial", replace(RELATIVISTIC, matching=0.0)),
    Variant("+ relativistic", "adversarial", RELATIVISTIC),
    Variant("+ relativistic, with the images", "adversarial", replace(RELATIVISTIC, images=True)),
    Variant("+ relativistic, ten times the matching", "adversarial", replace(RELATIVISTIC, matching=10.0)),
)
TITLES = [variant.title for variant in VARIANTS]


def draw_batch(generator: torch.Generator, count: int) -> tuple[Pair, Tensor, Tensor]:
    """Draw pairs of one random texture, their true deformations (N, 3, D, H, W), voxels, and the hints for them."""
    pairs, flows = [], []
    for _ in range(count):
        flow = elastic_flow(SHAPE, SPACING_MM, 1.0, NODE_MM, generator)
        flow = flow * SIZE_VOXELS / flow.square().mean().sqrt()
        texture = gaussian(torch.randn(1, 1, *SHAPE, generator=generator), TEXTURE_VOXELS)
        moving = (0.5 + 0.2 * texture / texture.std()).clamp(0, 1)
        fixed = warp(moving, flow)
        pairs.append(Pair(fixed, moving, fixed, moving))
        flows.append(flow)
    truth = torch.cat(flows)
    return join(pairs), truth, truth + HINT_NOISE * torch.randn(truth.shape, generator=generator)


def make_student() -> nn.Module:
    """Make a student that says nearly no deformation before its training."""
    last = nn.Conv3d(16, 3, 3, padding=1)
    nn.init.normal_(last.weight, std=1e-3)
    return nn.Sequential(nn.Conv3d(3, 16, 3, padding=1), nn.LeakyReLU(0.2), last)


def train(variant: Variant, seed: int, steps: int) -> dict[str, float]:
    """Train a student and measure its errors."""
    torch.manual_seed(seed)
    student = make_student()
    knowledge = KnowledgeConfig(variant.kind, GAMMA, every=1, until=steps, critic_every=variant.critic_every)
    critic = make_critic(variant.critic, knowledge)
    of_student = torch.optim.Adam(student.parameters(), lr=RATE)
    of_critic = torch.optim.Adam(critic.network.parameters(), lr=variant.critic.rate)
    generator, started = make_generator(seed, 1), time.process_time()
    for step in range(steps):
        pair, truth, hint = draw_batch(generator, BATCH)
        flow = student(hint)
        loss = GAMMA * (flow - truth)[:, :1].square().mean()
        for _ in range(variant.critic.updates if knowledge.updates_discriminator(step) else 0):
            of_critic.zero_grad()
            torch.stack(list(critic.compute_own_loss(pair, flow.detach(), truth).values())).sum().backward()
            of_critic.step()
        if variant.kind == "distance":
            loss = loss + (1 - GAMMA) * distance_loss(flow, truth)
        elif variant.kind == "adversarial":
            loss = loss + (1 - GAMMA) * critic.compute_student_loss(pair, flow, truth)
        of_student.zero_grad()
        loss.backward()
        of_student.step()
    seconds = time.process_time() - started
    _, truth, hint = draw_batch(make_generator(seed, 2), KEPT_OUT)
    with torch.no_grad():
        difference = student(hint) - truth
    errors = {"unseen": difference[:, 1:], "all": difference}
    return {name: float(e.square().mean().sqrt()) / SIZE_VOXELS for name, e in errors.items()} | {"cpu_s": seconds}


def table(results: Mapping[str, list[dict[str, float]]]) -> str:
    """Write mean ± standard deviation over the seeds."""
    body = []
    for title, runs in results.items():
        values = [[run[name] for run in runs] for name in MEASURES]
        spreads = [f" ± {np.std(v, ddof=1):.3f}" if len(v) > 1 else "" for v in values]
        cells = [f"{np.mean(v):.3f}{spread}" for v, spread in zip(values, spreads, strict=True)]
        body.append([title, *cells, f"{np.mean([run['cpu_s'] for run in runs]):.1f}"])
    return format_markdown_table(["", *MEASURES.values(), "CPU s"], body)


def plot(results: Mapping[str, list[dict[str, float]]]) -> Any:
    """Plot the error of every run."""
    figure, (panels,) = new_figure(2, width=11, height=3.5)
    for axes, (name, label) in zip(panels, MEASURES.items(), strict=True):
        for row, runs in enumerate(results.values()):
            errors = [run[name] for run in runs]
            axes.plot(errors, [row] * len(errors), ".", color=f"C{row}")
            axes.plot(np.mean(errors), row, "|", color=f"C{row}", markersize=16)
        axes.set(yticks=range(len(results)), xlabel=label)
        axes.set_yticklabels(list(results) if axes is panels[0] else [])
        axes.invert_yaxis()
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/critic-forms"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", nargs="+", metavar="FORM", choices=TITLES, default=TITLES, help=f"of {TITLES}")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    results = {
        v.title: [train(v, seed, arguments.steps) for seed in arguments.seeds]
        for v in VARIANTS
        if v.title in arguments.only
    }
    text = f"{arguments.steps} steps, {len(arguments.seeds)} seeds, {KEPT_OUT} pairs that were kept out.\n\n"
    values = {"rows": results, "steps": arguments.steps, "seeds": arguments.seeds}
    write_report(arguments.output, "critic_forms", text + table(results), values, plot(results))
    print(text + table(results))


if __name__ == "__main__":
    main()
