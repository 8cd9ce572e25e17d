"""Draw the pictures of docs/clinician/tutorial.md: the built-in pair, registered, in Slicer's slice views off screen.

    .venv/bin/python docs/tutorial_pictures.py

It takes about a minute on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from LightRegistrationLib.commands.phantom.pair import PhantomPair, make_phantom_pair
from LightRegistrationLib.core.registration import register
from LightRegistrationLib.core.result.settings import RegistrationSettings
from LightRegistrationLib.core.sampling.warping import warp_volume_and_segmentation
from LightRegistrationLib.scene.display.comparison import ComparedView, Comparison
from LightRegistrationLib.scene.display.deformation_grid import GridKind
from LightRegistrationLib.scene.display.deformation_maps import MapKind
from LightRegistrationLib.scene.display.result_display import ResultDisplay
from LightRegistrationLib.scene.files.png import save_png
from LightRegistrationLib.scene.headless.application import headless_application
from LightRegistrationLib.scene.headless.slice_views import SliceView
from LightRegistrationLib.scene.nodes.results import RegistrationNodes, publish_result
from LightRegistrationLib.scene.nodes.segmentations import segmentation_node_from_segmentation
from LightRegistrationLib.scene.nodes.volumes import volume_node_from_volume

FOLDER = Path(__file__).resolve().parent / "clinician" / "pictures"
SIZE = (300, 300)
SPACING_MM = 2.0
GAP_PIXELS = 4

Draw = Callable[[], NDArray[np.uint8]]


class Tutorial:
    """The registered pair in one slice view."""

    def __init__(self, view: SliceView, application: Any, nodes: RegistrationNodes) -> None:
        self.view = view
        self.display = ResultDisplay(application.logic, nodes)
        self.compared = ComparedView(view.logic, view.renderer)

    def volumes(self, kind: Comparison, *, after: bool) -> NDArray[np.uint8]:
        """Both volumes before or after registration."""
        (self.display.show_after if after else self.display.show_before)()
        if kind in (Comparison.GLASS, Comparison.GLASS_REVERSED):
            self.compared.move_glass((0.5 * SIZE[0], 0.62 * SIZE[1]))
        self.compared.show(kind)
        drawn = self.view.render()
        self.compared.hide()
        return drawn

    def outlines(self, *, after: bool) -> NDArray[np.uint8]:
        """Outlines of the structures."""
        (self.display.show_after if after else self.display.show_before)()
        self.display.show_outlines(True, ("fixed: white", "moving: colors", "warped: colors"))
        drawn = self.view.render()
        self.display.show_outlines(False)
        return drawn

    def match(self, *, after: bool) -> NDArray[np.uint8]:
        """White where the structures agree, red where they differ."""
        (self.display.show_after if after else self.display.show_before)()
        self.display.show_match(True)
        drawn = self.view.render()
        self.display.show_match(False)
        return drawn

    def deformation(self, kind: GridKind) -> NDArray[np.uint8]:
        """The deformation with its legend."""
        self.display.show_fixed()
        self.display.show_grid(True, kind, "mm")
        drawn = self.view.render()
        self.display.show_grid(False)
        return drawn

    def map(self, kind: MapKind, title: str) -> NDArray[np.uint8]:
        """A map of the deformation with its legend."""
        self.display.show_fixed()
        self.display.show_map(kind, title, "folded")
        drawn = self.view.render()
        self.display.hide_map()
        return drawn

    def iterate_pictures(self) -> Iterator[tuple[str, list[list[Draw]]]]:
        """Yield the name of each picture, and what is in its rows."""
        kinds = (Comparison.FADE, Comparison.COLORS, Comparison.CHECKERBOARD)
        more = (Comparison.DIFFERENCE, Comparison.GLASS)
        yield "fade", [[lambda a=a: self.volumes(Comparison.FADE, after=a) for a in (False, True)]]
        for name, group in (("compare", kinds[1:]), ("compare-more", more)):
            yield name, [[lambda k=k, a=a: self.volumes(k, after=a) for k in group] for a in (False, True)]
        yield (
            "structures",
            [[lambda a=a, f=f: f(after=a) for f in (self.outlines, self.match)] for a in (False, True)],
        )
        yield (
            "deformation",
            [
                [lambda k=k: self.deformation(k) for k in (GridKind.GRID, GridKind.ARROWS)],
                [
                    lambda: self.map(MapKind.LENGTHS, "Displacement, mm"),
                    lambda: self.map(MapKind.DETERMINANTS, "Jacobian"),
                ],
            ],
        )


def publish_pair(scene: Any, pair: PhantomPair) -> RegistrationNodes:
    """Register the pair and add it to the scene with its result."""
    result = register(pair.fixed, pair.moving, RegistrationSettings(refine="fast"))
    warped, warped_segmentation = warp_volume_and_segmentation(
        pair.moving, pair.moving_segmentation, result.field, pair.fixed.geometry
    )
    segmentations = [
        segmentation_node_from_segmentation(scene, segmentation, name)
        for segmentation, name in ((pair.fixed_segmentation, "fixed"), (pair.moving_segmentation, "moving"))
    ]
    for node in segmentations:
        node.SetDisplayVisibility(False)
    return publish_result(
        scene,
        volume_node_from_volume(scene, pair.fixed, "fixed"),
        volume_node_from_volume(scene, pair.moving, "moving"),
        result.field,
        warped,
        warped_segmentation,
        fixed_segmentation=segmentations[0],
        moving_segmentation=segmentations[1],
    )


def join(rows: list[list[Draw]]) -> NDArray[np.uint8]:
    """Draw the parts of a picture and put them side by side, with white gaps."""
    drawn = [[draw() for draw in row] for row in rows]
    height, width, _ = drawn[0][0].shape
    count = max(map(len, drawn))
    picture = np.full(
        (len(drawn) * (height + GAP_PIXELS) - GAP_PIXELS, count * (width + GAP_PIXELS) - GAP_PIXELS, 3), 255, np.uint8
    )
    for r, row in enumerate(drawn):
        for c, part in enumerate(row):
            top, left = r * (height + GAP_PIXELS), c * (width + GAP_PIXELS)
            picture[top : top + height, left : left + width] = part
    return picture


def main() -> None:
    """Draw and write all pictures."""
    application = headless_application()
    nodes = publish_pair(application.scene, make_phantom_pair(seed=0, spacing_mm=SPACING_MM))
    FOLDER.mkdir(exist_ok=True)
    with SliceView(application, "Axial", SIZE) as view:
        tutorial = Tutorial(view, application, nodes)
        for name, rows in tutorial.iterate_pictures():
            save_png(join(rows), FOLDER / f"{name}.png")
            print(f"Wrote {FOLDER / name}.png.")


if __name__ == "__main__":
    main()
