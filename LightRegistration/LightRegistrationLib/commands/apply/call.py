"""The `apply` command as a Python call: stored transforms and a file go in, the transformed file comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.result.settings import parse_choice
from ...core.sampling.settings import Interpolation
from ...core.thread_count import check_threads
from ..files.output_file import staging_file
from .request import ApplyRequest, Kind, TransformFile, check_apply_request


def apply_transforms(
    transforms: Sequence[TransformFile | str | Path],
    input: str | Path,
    output: str | Path,
    *,
    reference: str | Path | None = None,
    interpolation: str | None = None,
    is_lps: bool = False,
    threads: int | None = None,
    force: bool = False,
) -> tuple[str, ...]:
    """Bring a file into the space of a reference by stored transforms, and write it to the file `output`.

    Does the same as `light-registration apply`; its help describes the files. transforms: in the order in which they
    map points of the reference to points of the input; `inverse_of` names the inverse of one. input: a volume, label
    map, 4-D series, points or a surface. reference: the volume whose grid an image gets. interpolation: linear, nearest
    or label-smooth; None for nearest if the input or the output is a .seg.nrrd file, else linear. is_lps: the
    coordinates of a CSV file are LPS, not RAS. Returns warnings, one line each. Not to be called inside a running
    Slicer, whose scene is the user's. Raises InputError, with one line for the user, for every problem with the input.
    """
    request = ApplyRequest(
        tuple(t if isinstance(t, TransformFile) else TransformFile(Path(t)) for t in transforms),
        Path(input),
        Path(output),
        None if reference is None else Path(reference),
        None if interpolation is None else parse_choice(Interpolation, interpolation, "interpolation"),
        is_lps,
        threads,
    )
    check_threads(threads)
    check_apply_request(request, force)
    # Importing Slicer takes a second and torch several: all checks that need neither come before.
    from ...scene.headless.application import headless_application
    from ...scene.nodes.removal import remove_new_nodes

    warnings: list[str] = []
    scene = headless_application().scene
    with remove_new_nodes(scene), staging_file(request.output) as target:
        if request.kind == Kind.IMAGE:
            from .images import apply_to_image

            apply_to_image(scene, request, target, warnings.append)
        else:
            from .shapes import apply_to_shape

            apply_to_shape(scene, request, target, warnings.append)
    return tuple(dict.fromkeys(warnings))
