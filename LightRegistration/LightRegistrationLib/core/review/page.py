"""One self-contained HTML page for a reader who does not know the software: pictures, numbers, tolerances, warnings."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from ..report.definition import OverlapReport, Report, Verdict
from .drawing import Picture, draw_gray
from .pictures import PlaneImages, ReviewedPair, draw_plane, sample_planes
from .planes import find_center, make_planes
from .tolerances import DEFAULTS, ToleranceCheck, Tolerances, check_tolerances

EncodePng = Callable[[Picture], bytes]


def build_page(pair: ReviewedPair, report: Report, encode_png: EncodePng, tolerances: Tolerances = DEFAULTS) -> str:
    """Write the page as HTML; it needs no other file and no network.

    encode_png: turns RGB pixels (rows, columns, 3) into the bytes of a PNG file. tolerances: those of the site.
    """
    center = find_center(pair.fixed.geometry, pair.fixed_segmentation)
    images = sample_planes(pair, make_planes(pair.fixed.geometry, center))
    sections = [
        _write_head(report),
        _write_review(report),
        _write_warnings(report),
        "<h2>Fixed and result</h2>" + _write_fades(images, encode_png),
        "<h2>Tolerances</h2>" + _write_tolerances(check_tolerances(report, tolerances), tolerances),
        "<h2>Pictures</h2>" + _write_pictures(pair, images, encode_png),
        _write_structures(report),
        "<h2>Deformation</h2>" + _write_displacements(report),
        "<h2>How it was made</h2>" + _write_provenance(report),
    ]
    title = escape(f"{report['moving']['name']} on {report['fixed']['name']}")
    return _PAGE.format(title=title, style=_STYLE, body="\n".join(sections))


def _write_head(report: Report) -> str:
    fixed, moving = escape(report["fixed"]["name"]), escape(report["moving"]["name"])
    return (
        f"<h1>Registration of {moving} (moving) on {fixed} (fixed)</h1>"
        "<p>Pictures show the patient's right on the left side. This page lists measurements; it does not replace the "
        "reader's judgment. For research, not for clinical use.</p>"
    )


def _write_review(report: Report) -> str:
    """Write the verdict of the reader; without one, that there is none."""
    review = report.get("review")
    if review is None or review["verdict"] == Verdict.NOT_REVIEWED:
        text = "<b>not reviewed</b>: no reader has judged this registration yet."
    else:
        style = "off" if review["verdict"] == Verdict.REJECTED else "plain"
        by = f", by {escape(review['reviewer'])}" if review["reviewer"].strip() else ", by an unnamed reader"
        text = f'<b class="{style}">{escape(review["verdict"])}</b>{by}.'
    lines = escape("" if review is None else review["note"].strip()).split("\n")
    note = f"<p>Reader's note: {'<br>'.join(lines)}</p>" if any(lines) else ""
    return f"<p>Verdict: {text}</p>{note}"


def _write_warnings(report: Report) -> str:
    if not report["warnings"]:
        return "<p>No warning was given.</p>"
    lines = "".join(f"<li>{escape(line)}</li>" for line in report["warnings"])
    return f'<ul class="off">{lines}</ul>'


def _write_fades(planes: Sequence[PlaneImages], encode_png: EncodePng) -> str:
    """Write one slider for all planes, which fades from the fixed volume to the result."""
    cells = []
    for images in planes:
        grays = images.fixed, images.warped
        under, over = (_write_image(draw_gray(gray), encode_png, images.plane.title) for gray in grays)
        cells.append(f'<div class="fade">{under}<div class="over">{over}</div></div>')
    on_input = "document.querySelectorAll('.over').forEach(e => e.style.opacity = this.value / 100)"
    label = "fade from fixed to result"
    # On paper both pictures are next to each other.
    return (
        '<p>Fixed<span class="paper">, and right of it the</span> '
        f'<input type="range" min="0" max="100" value="0" aria-label="{label}" oninput="{on_input}"> result</p>'
        f'<div class="row">{"".join(cells)}</div>'
    )


def _write_pictures(pair: ReviewedPair, planes: Sequence[PlaneImages], encode_png: EncodePng) -> str:
    """Write a row of pictures, one a plane, for each way of looking."""
    rows: dict[str, list[str]] = {}
    for images in planes:
        for caption, picture in draw_plane(pair, images).items():
            rows.setdefault(caption, []).append(_write_image(picture, encode_png, f"{caption}, {images.plane.title}"))
    return "".join(f'<h3>{caption}</h3><div class="row">{"".join(images)}</div>' for caption, images in rows.items())


def _write_tolerances(checks: Sequence[ToleranceCheck], tolerances: Tolerances) -> str:
    words = {True: "within", False: "outside", None: "–"}
    rows = [
        [
            escape(check.measure),
            f'<span class="{"off" if check.is_within is False else "plain"}">{escape(check.value)}</span>',
            escape(check.tolerance),
            words[check.is_within],
            escape(check.source),
        ]
        for check in checks
    ]
    changes = "; ".join(tolerances.list_changes())
    changed = f"<p><b>Tolerances of this site differ from the default:</b> {escape(changes)}.</p>" if changes else ""
    note = "<p>A value within its tolerance does not prove the alignment elsewhere.</p>"
    return changed + _write_table(["measure", "value", "tolerance", "", "source"], rows) + note


def _write_structures(report: Report) -> str:
    if not report["structures"] or not report["mean"]:
        return "<h2>Structures</h2><p>No structure was compared: that needs a segmentation of each volume.</p>"
    rows = []
    for structure in sorted(report["structures"], key=lambda s: s["after"]["dice"] or 0.0):
        rows.append([escape(structure["name"]), *_write_overlaps(structure["before"], structure["after"])])
    rows.append(["<b>Mean</b>", *_write_overlaps(report["mean"]["before"], report["mean"]["after"])])
    header = [
        "structure",
        "Dice as loaded",
        "Dice",
        "mean distance as loaded mm",
        "mean distance mm",
        "HD95 as loaded mm",
        "HD95 mm",
        "volume change",
    ]
    return "<h2>Structures, worst first</h2>" + _write_table(header, rows)


def _write_overlaps(before: OverlapReport, after: OverlapReport) -> list[str]:
    change = after["volume_change_percent"]
    return [
        _write_number(before["dice"], 3),
        _write_number(after["dice"], 3),
        _write_number(before.get("mean_distance_mm"), 2),
        _write_number(after.get("mean_distance_mm"), 2),
        _write_number(before["hd95_mm"], 1),
        _write_number(after["hd95_mm"], 1),
        "–" if change is None else f"{change:+.1f} %",
    ]


def _write_displacements(report: Report) -> str:
    """Write percentiles of the displacements over the fixed volume and of the volume changes."""
    lengths = report.get("displacement")  # earlier versions have none
    words = (
        ""
        if lengths is None
        else f"Displacement over the fixed volume, beyond the initial alignment: median {lengths['median_mm']:.1f} mm, "
        f"95 % below {lengths['percentile_95_mm']:.1f} mm, largest {lengths['maximum_mm']:.1f} mm."
    )
    return f"<p>{words}{_describe_volume_changes(report)}</p>"


def _describe_volume_changes(report: Report) -> str:
    jacobian = report["jacobian"]
    low, high = jacobian.get("percentile_1"), jacobian.get("percentile_99")
    if low is None or high is None:
        return ""
    return f" Jacobian determinant: 98 % from {low:.2f} to {high:.2f}."


def _write_provenance(report: Report) -> str:
    rows = [
        ["Model", escape(f"{report['model']['name']}: {report['model']['reason']}")],
        ["Hash of the weights", f"<code>{escape(report['model']['weights_sha256'])}</code>"],
        ["Settings", escape(", ".join(f"{name} {value}" for name, value in report["settings"].items()))],
        ["Seconds", escape(", ".join(f"{name} {value:.2f}" for name, value in report["seconds"].items()))],
    ]
    for role in ("fixed", "moving"):
        volume = report[role]
        size, spacing = (" × ".join(f"{n:g}" for n in volume[key]) for key in ("size_ijk", "spacing_mm"))
        rows.append([f"{role.capitalize()} volume", escape(f"{volume['name']}: {size} voxels of {spacing} mm")])
    if "inputs" in report:
        rows.append(["Files", escape(", ".join(f"{role} {path}" for role, path in report["inputs"].items()))])
    if "versions" in report:
        rows.append(["Versions", escape(", ".join(f"{name} {value}" for name, value in report["versions"].items()))])
    return _write_table([], rows)


def _write_number(value: float | None, digits: int) -> str:
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def _write_image(picture: Picture, encode_png: EncodePng, text: str) -> str:
    data = base64.b64encode(encode_png(picture)).decode("ascii")
    height, width = picture.shape[:2]
    return f'<img alt="{escape(text)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'


def _write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = f"<tr>{''.join(f'<th>{cell}</th>' for cell in header)}</tr>" if header else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}{body}</table>"


_STYLE = """\
body { font: 15px/1.45 sans-serif; max-width: 960px; margin: 1.5em auto; padding: 0 1em; color: #222; background: #fff }
h1 { font-size: 1.35em } h2 { font-size: 1.15em; margin-top: 1.6em } h3 { font-size: 1em; font-weight: normal }
table { border-collapse: collapse } th, td { padding: 0.2em 0.8em 0.2em 0; text-align: left; vertical-align: top }
td, th { border-bottom: 1px solid #ddd } .off { color: #b00020; font-weight: bold }
.row { display: flex; flex-wrap: wrap; gap: 6px } img { display: block; background: #000 }
.fade { position: relative } .over { position: absolute; left: 0; top: 0; opacity: 0 }
.key { display: inline-block; width: 1em } code { font-size: 0.85em; overflow-wrap: anywhere } .paper { display: none }
@media print {
  body { max-width: none; margin: 0; padding: 0 } input { display: none } .paper { display: inline }
  .fade { display: flex } .over { position: static; opacity: 1 !important } img { max-width: 100% }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact }
  tr, img, .row { break-inside: avoid } h2, h3 { break-after: avoid }
}"""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>
{style}
</style></head>
<body>
{body}
</body>
</html>
"""
