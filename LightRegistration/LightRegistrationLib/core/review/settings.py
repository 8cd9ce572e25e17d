"""Settings of the review page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReviewSettings:
    """How results are drawn, and which tolerances they are held against.

    picture_pixels, thumbnail_pixels: the longest side of the fixed volume in a picture, and in the small pictures of a
    page of many pairs (about 15 kB each). checkerboard_tiles: along that side. grid_lines_mm: distances of grid lines
    to choose from; grid_lines: the number of lines along the longest side that the choice is nearest to. percentiles:
    intensities drawn black and white. jacobian_range: determinants drawn in full color, and their inverses. Chosen for
    legibility. most_map_voxels: of a map of the deformation in Slicer's views; chosen so that it takes about a second.

    min_dice, max_distance_mm: tolerances of AAPM TG-132 (Brock et al., Medical Physics 2017, table III): Dice within
    the contouring uncertainty, about 0.8 to 0.9; mean distance and target registration error within the largest voxel
    edge, about 2 to 3 mm. Here the lower Dice and the shorter distance; a longer voxel edge takes the place of the
    distance.
    """

    picture_pixels: int = 288
    thumbnail_pixels: int = 120
    checkerboard_tiles: int = 8
    grid_lines_mm: tuple[float, ...] = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
    grid_lines: int = 20
    percentiles: tuple[float, float] = (1.0, 99.0)
    jacobian_range: float = 2.0
    most_map_voxels: int = 1_000_000
    min_dice: float = 0.8
    max_distance_mm: float = 2.0


REVIEW = ReviewSettings()
