"""Write the tables of the comparison into README.md and docs/researcher/results.md.

    .venv/bin/python docs/result_tables.py

Reads Testing/Benchmarks/results/comparison.json, which Testing/Benchmarks/comparison.py makes. A table stands between
the comments `<!-- comparison SET: COLUMNS -->` and `<!-- end -->`, with a row for each method; `SET, short` leaves out
the second rows of the peers, which start from our affine stage.
Testing/Python/packaging/test_documents.py fails while a page differs from the results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "Testing" / "Benchmarks" / "results" / "comparison.json"
PAGES = (REPOSITORY / "README.md", REPOSITORY / "docs" / "researcher" / "results.md")
BLOCK = re.compile(
    r"(<!-- comparison (?P<set>\w+)(?P<short>, short)?: (?P<columns>[\w, ]+) -->\n)(?P<table>.*?)(<!-- end -->)",
    re.DOTALL,
)
COLUMNS = {
    "dice": ("Dice", "{:.3f}"),
    "dice30": ("Dice30", "{:.3f}"),
    "median_dice": ("Dice, median", "{:.3f}"),
    "hd95_mm": ("HD95, mm", "{:.2f}"),
    "tre_mm": ("TRE, mm", "{:.2f}"),
    "median_tre_mm": ("TRE, median, mm", "{:.2f}"),
    "folding_percent": ("folding %", "{:.4f}"),
    "std_log_jacobian": ("SD log J", "{:.3f}"),
    "cpu_seconds": ("CPU s", "{:.1f}"),
    "peak_mb": ("peak MB", "{:.0f}"),
    "below_affine": ("below affine", "{:.0f}"),
    "failures": ("failed", "{:.0f}"),
}
TITLES = {
    "none": "no registration",
    "affine": "affine stage only",
    "ours-none": "LightRegistration, no refinement",
    "ours-fast": "LightRegistration, fast",
    "ours-best": "LightRegistration, best",
    "demons": "demons (SimpleITK)",
    "elastix": "elastix B-spline",
    "syn": "ANTs SyN, default",
    "syn-cc": "ANTs SyN-CC",
    "greedy": "Greedy",
    "convexadam": "ConvexAdam",
    "deeds": "deeds",
}
FROM_OUR_AFFINE = "-from-affine"
NO_TIME = ("none",)


def page_text(text: str, results: Mapping[str, Any]) -> str:
    """A page with its tables as the results have them."""
    return BLOCK.sub(lambda block: block[1] + block_table(block, results) + block[6], text)


def block_table(block: re.Match[str], results: Mapping[str, Any]) -> str:
    """The table of one block."""
    columns = block["columns"].split(", ")
    methods = {
        name: method
        for name, method in results["sets"][block["set"]].items()
        if not (block["short"] and name.endswith(FROM_OUR_AFFINE))
    }
    head = ["method", *(COLUMNS[column][0] for column in columns)]
    rows = [[title(name), *(cell(name, method, column) for column in columns)] for name, method in methods.items()]
    return markdown_table(head, rows)


def title(name: str) -> str:
    """What a method is called; ours in bold."""
    peer = name.removesuffix(FROM_OUR_AFFINE)
    words = TITLES[peer] + (", from our affine stage" if peer != name else "")
    return f"**{words}**" if name.startswith("ours") else words


def cell(name: str, method: Mapping[str, Any], column: str) -> str:
    """One number; empty where there is none."""
    value = number(method, column)
    if value is None or (
        name in NO_TIME and column in ("cpu_seconds", "peak_mb", "folding_percent", "std_log_jacobian")
    ):
        return ""
    return COLUMNS[column][1].format(value)


def number(method: Mapping[str, Any], column: str) -> float | None:
    """A measure of a method over a set."""
    if column in ("below_affine", "failures"):
        return None if method.get(column) is None else len(method[column])
    if column == "dice30":
        value = method["dice30"]
    elif column.startswith("median_"):
        value = method.get("median", {}).get(column.removeprefix("median_"))
    else:
        value = method["mean"].get(column)
    return None if value is None else float(value)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Bring the pages up to date."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(page_text(text, results), encoding="utf-8")


if __name__ == "__main__":
    main()
