"""Label fusion on brain T1: each of 15 scans is labeled from the 14 others, and compared with its own labels.

    LIGHTREG_DATA=<data folder> .venv/bin/python Testing/Benchmarks/label_fusion.py --ants 3 \\
        --output Testing/Benchmarks/results

Dice: mean over the structures that the scan and at least one atlas have; a structure that a fusion misses counts 0, and
a single atlas is measured on the structures that it has. The best single atlas is the best one for that scan, which
only who knows its labels can choose. All fusions of a scan, ANTs' too, start from the same warped atlases, which are
ours. ANTs: antsJointFusion as ANTsPy 0.6.3 runs it, `alpha` 0.1 and `beta` 2 as ours, in a mask of the voxels where
the atlases disagree (ours votes there only); its seconds include the probability maps that ANTsPy always writes. The
background is a label like the others there: ANTsPy has no map of label 0, and would give it to no voxel. Agreement: the
share of the voxels where the atlases disagree to which ANTs gives the label that ours gives.
ANTs' time grows with the number of the atlases: --atlases uses fewer of them, for ours too.
Seconds: CPU seconds of the fusion alone, median over the scans. Finished scans are kept in a folder (--work), so that
the command can be stopped and run again.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import benchmark_parser, new_figure, parse, write_report
from numpy.typing import NDArray

from LightRegistrationLib.commands.fuse.request import Atlas
from LightRegistrationLib.commands.fuse.scans import LabeledScans, read_scans
from LightRegistrationLib.commands.fuse.scores import compute_dice
from LightRegistrationLib.commands.fuse.warping import WarpedAtlases, warp_atlases
from LightRegistrationLib.core.label_fusion.fusion import fuse, make_image
from LightRegistrationLib.core.label_fusion.settings import FusionMethod, FusionSettings
from LightRegistrationLib.core.label_fusion.voting import find_disputed_voxels
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.scene.headless.application import headless_application

BEST, MEAN = "best single atlas", "single atlases, mean"
OURS = {
    "majority": FusionSettings(FusionMethod.MAJORITY),
    "joint": FusionSettings(),
    "joint, search radius 1": FusionSettings(search_radius=1),
}
ANTS = {
    "ANTs joint, no search": {"rho": 0.1, "beta": 2, "r_search": 0},
    "ANTs joint, search radius 1": {"rho": 0.1, "beta": 2, "r_search": 1},
}


def list_brains(data: Path) -> list[Atlas]:
    """List the labeled brain scans."""
    records = json.loads((data / "manifest.json").read_text(encoding="utf-8"))["records"]
    brains = sorted((r for r in records if r["anatomy"] == "brain_t1"), key=lambda r: r["id"])
    return [Atlas(r["id"], data / r["image"], data / r["labels"]) for r in brains]


def evaluate(
    scans: LabeledScans,
    index: int,
    registry: ModelRegistry,
    settings: RegistrationSettings,
    with_ants: bool,
    has_search: bool,
    atlases: int | None = None,
) -> list[dict[str, Any]]:
    """Label one scan in every way, from all others or from the first `atlases` of them; one row for each."""
    target = scans.scans[index].image
    others = [n for n in range(len(scans.scans)) if n != index][:atlases]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        warped = warp_atlases(target, scans, others, settings, registry, Path(name), lambda done: None)
        shown = [scans.list_shown(atlas.index) for atlas in warped.atlases]
        truth = scans.number_labels_on_image(index)
        single = np.nanmean(compute_dice(truth, warped.labels, shown), axis=1)
        for method, value in ((BEST, single.max()), (MEAN, single.mean())):
            rows.append({"scan": scans.scans[index].atlas.name, "method": method, "dice": float(value), "seconds": 0.0})
        image = make_image(target.array)
        works: dict[str, Callable[[], NDArray]] = {
            method: lambda own=own: fuse(image, warped.images, warped.labels, own, Path(name)).labels
            for method, own in OURS.items()
            if has_search or not own.search_radius
        }
        if with_ants:
            works |= {
                method: lambda own=own: fuse_with_ants(image, warped, own)
                for method, own in ANTS.items()
                if has_search or not own["r_search"]
            }
        disputed = find_disputed_voxels(warped.labels)
        found: dict[str, NDArray] = {}
        for method, work in works.items():
            started = time.process_time()
            labels = work()
            seconds = time.process_time() - started
            dice = float(np.nanmean(compute_dice(truth, [labels], [np.any(shown, axis=0)])))
            row = {**rows[0], "method": method, "dice": dice, "seconds": seconds}
            found[method] = labels.reshape(-1)[disputed]
            if method in ANTS:
                own = method.replace("ANTs ", "").replace(", no search", "")
                row["agreement"] = float(np.mean(found[method] == found[own]))
            rows.append(row)
            print(f"{rows[0]['scan']:<12} {method:<28} {dice:.4f}  {seconds:8.1f} s", flush=True)
    return rows


def fuse_with_ants(image: NDArray, warped: WarpedAtlases, options: dict[str, Any]) -> NDArray:
    """Fuse by antsJointFusion where the atlases disagree; elsewhere their label is taken, as ours does."""
    import ants

    disputed = find_disputed_voxels(warped.labels)
    mask = np.zeros(image.shape, np.float32)
    mask.reshape(-1)[disputed] = 1
    with tempfile.TemporaryDirectory() as folder:
        found = ants.joint_label_fusion(
            ants.from_numpy(image),
            ants.from_numpy(mask),
            [ants.from_numpy(np.array(own)) for own in warped.images],
            label_list=[ants.from_numpy(own.astype(np.float32) + 1) for own in warped.labels],
            rad=2,
            output_prefix=f"{folder}/",
            **options,
        )
    result = np.array(warped.labels[0])
    result.reshape(-1)[disputed] = found["segmentation"].numpy().reshape(-1)[disputed] - 1
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Write a Markdown table of the means over the scans of each method."""
    best = {r["scan"]: r["dice"] for r in rows if r["method"] == BEST}
    lines = [
        "| method | scans | Dice | above the best single atlas (least scan) | CPU seconds |",
        "|---|---|---|---|---|",
    ]
    for method in dict.fromkeys(r["method"] for r in rows):
        own = [r for r in rows if r["method"] == method]
        gains = [r["dice"] - best[r["scan"]] for r in own]
        lines.append(
            f"| {method} | {len(own)} | {np.mean([r['dice'] for r in own]):.4f} "
            f"| {np.mean(gains):+.4f} ({min(gains):+.4f}) | {np.median([r['seconds'] for r in own]):.1f} |"
        )
    return "\n".join(lines)


def plot(rows: list[dict[str, Any]]) -> Any:
    """Plot the Dice of each scan, one line for each method."""
    figure, ((axes,),) = new_figure()
    names = list(dict.fromkeys(r["scan"] for r in rows))
    for method in dict.fromkeys(r["method"] for r in rows):
        own = {r["scan"]: r["dice"] for r in rows if r["method"] == method}
        style = {"linestyle": "none", "marker": "x"} if method in ANTS else {"marker": "o"}
        axes.plot([names.index(s) for s in own], list(own.values()), label=method, **style)
    axes.set_xticks(range(len(names)), [n.replace("oasis_", "") for n in names])
    axes.set_xlabel("scan that is labeled from the others")
    axes.set_ylabel("Dice, mean over all labels")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def main() -> None:
    """Run the command."""
    parser = benchmark_parser(__doc__, Path("runs/label_fusion"))
    parser.set_defaults(threads=1)
    parser.add_argument("--work", type=Path, default=Path("runs/label_fusion"), help="default: %(default)s")
    parser.add_argument("--model", default="brain-mri")
    parser.add_argument("--refine", default="none")
    parser.add_argument("--scans", type=int, default=15, help="label only the first scans; the files are then named so")
    parser.add_argument("--atlases", type=int, help="use only so many atlases; the files are then named after them")
    parser.add_argument("--search", type=int, default=0, help="for so many scans, also with a search")
    parser.add_argument("--ants", type=int, default=0, help="for so many scans, ANTs too; needs antspyx")
    arguments = parse(parser)
    registry = ModelRegistry()
    rows: list[dict[str, Any]] = []
    settings = RegistrationSettings(arguments.model, threads=arguments.threads, refine=arguments.refine)
    scene, brains = headless_application().scene, list_brains(arguments.data)
    arguments.work.mkdir(parents=True, exist_ok=True)
    scans: LabeledScans | None = None
    with tempfile.TemporaryDirectory() as folder:
        # The scans that take longest come last.
        for index, brain in reversed(list(enumerate(brains[: arguments.scans]))):
            plan = {"ants": index < arguments.ants, "search": index < arguments.search, "refine": arguments.refine}
            if arguments.atlases:
                plan["atlases"] = arguments.atlases
            kept = arguments.work / f"{brain.name}-{arguments.model}-{'-'.join(map(str, plan.values()))}.json"
            if not kept.exists():
                scans = scans or read_scans(scene, brains, Path(folder), print, lambda done: None)
                found = evaluate(scans, index, registry, settings, plan["ants"], plan["search"], arguments.atlases)
                kept.write_text(json.dumps(found), encoding="utf-8")
            rows = json.loads(kept.read_text(encoding="utf-8")) + rows
    card = registry.card(arguments.model)
    heading = (
        f"Model {arguments.model}, weights {card.sha256[:12]}, refine {arguments.refine}, "
        f"{min(arguments.atlases or len(brains), len(brains) - 1)} atlases, "
        f"{arguments.threads} threads"
    )
    text = f"{heading}\n\n{table(rows)}"
    compared = {r["scan"] for r in rows if r["method"] in ANTS}
    if compared and compared != {r["scan"] for r in rows}:
        text += f"\n\nThe scans that ANTs fused too\n\n{table([r for r in rows if r['scan'] in compared])}"
    for method in dict.fromkeys(r["method"] for r in rows if r["method"] in ANTS):
        share = min(r["agreement"] for r in rows if r["method"] == method)
        text += f"\n\n{method}: the label of ours at {share:.3%} or more of the disputed voxels of a scan."
    name = "label_fusion"
    name += f"_{arguments.scans}_scans" if arguments.scans < len(brains) else ""
    name += f"_{arguments.atlases}_atlases" if arguments.atlases else ""
    write_report(arguments.output, name, text, rows, plot(rows))
    print("\n" + text)


if __name__ == "__main__":
    main()
