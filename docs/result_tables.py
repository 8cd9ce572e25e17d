"""Write the tables of the benchmarks into README.md and the pages of docs/researcher that show them.

    .venv/bin/python docs/result_tables.py

Reads what comparison.py, cpu_time.py, ablation.py, breathing.py, critic_forms.py and student_sizes.py left in
Testing/Benchmarks/results.
Between the comments `<!-- results KIND -->` and `<!-- end -->` stands what KIND names:

- `overview`: the main measure of each set, a row for each method; `overview short` leaves out the second rows of the
  peers, which start from our affine stage;
- `set NAME: COLUMNS`: measures of one set;
- `words`, `cpu time`, `ablation`, `ablation own`, `breathing`, `critic forms`, `student sizes`: taken over from
  comparison.md, cpu_time.md, ablation.md, ablation_own/ablation.md, breathing.md, critic_forms.md and student_sizes.md.

Testing/Python/packaging/test_documents.py fails while a page differs from the results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "Testing" / "Benchmarks" / "results"
RESEARCHER = REPOSITORY / "docs" / "researcher"
PAGES = (REPOSITORY / "README.md", RESEARCHER / "results.md", RESEARCHER / "training.md")
WHOLE_FILES = {
    name: f"{name.replace(' ', '_')}.md" for name in ("ablation", "breathing", "critic forms", "student sizes")
} | {"ablation own": "ablation_own/ablation.md"}
BLOCK = re.compile(r"(?P<begin><!-- results (?P<kind>[^\n]+) -->\n)(?P<content>.*?)(?P<end><!-- end -->)", re.DOTALL)
SETS = {
    "brain": ("brain T1, Dice", "dice"),
    "hippocampus": ("hippocampus T1, Dice", "dice"),
    "headneck": ("head and neck CT, Dice", "dice"),
    "abdomen": ("abdomen CT (synthesized), Dice", "dice"),
    "lung": ("lung CT, TRE mm", "tre_mm"),
    "liver": ("liver MRI, TRE mm", "tre_mm"),
}
COLUMNS = {
    "dice": ("Dice", "{:.3f}"),
    "dice30": ("Dice30", "{:.3f}"),
    "median dice": ("Dice, median", "{:.3f}"),
    "hd95_mm": ("HD95, mm", "{:.2f}"),
    "tre_mm": ("TRE, mm", "{:.2f}"),
    "median tre_mm": ("TRE, median, mm", "{:.2f}"),
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
COUNTS = ("below_affine", "failures")
OF_A_RUN = ("cpu_seconds", "peak_mb", "folding_percent", "std_log_jacobian")


def page_text(text: str) -> str:
    """A page with its blocks as the results have them."""
    results = json.loads((RESULTS / "comparison.json").read_text(encoding="utf-8"))
    return BLOCK.sub(lambda block: block["begin"] + content(block["kind"], results["sets"]) + block["end"], text)


def content(kind: str, sets: Mapping[str, Any]) -> str:
    """What stands in a block."""
    if kind == "words":
        return section(RESULTS / "comparison.md", "## In words")
    if kind == "cpu time":
        return re.sub(r"^## ", "#### ", section(RESULTS / "cpu_time.md", ""), flags=re.MULTILINE)
    if kind in WHOLE_FILES:
        return section(RESULTS / WHOLE_FILES[kind], "")
    if kind.startswith("overview"):
        return overview(sets, is_short=kind.endswith(" short"))
    name, _, columns = kind.removeprefix("set ").partition(": ")
    return set_table(sets[name], columns.split(", "))


def section(file: Path, heading: str) -> str:
    """The lines below a heading of a file, its title left out; nothing where there is no such file or heading."""
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if heading not in text:
        return ""
    body = text.partition(heading)[2].partition("\n## ")[0] if heading else re.sub(r"^# .*\n", "", text)
    return f"{body.strip()}\n"


def overview(sets: Mapping[str, Any], is_short: bool) -> str:
    """The main measure of every set, a row for each method."""
    names = dict.fromkeys(name for methods in sets.values() for name in methods)
    order = [own for peer in TITLES for own in (peer, peer + FROM_OUR_AFFINE) if own in names]
    shown = [name for name in order if not (is_short and name.endswith(FROM_OUR_AFFINE))]
    rows = [[title(name), *(overview_cell(sets[group], name, SETS[group][1]) for group in sets)] for name in shown]
    return markdown_table(["method", *(SETS[group][0] for group in sets)], rows)


def overview_cell(methods: Mapping[str, Any], name: str, measure: str) -> str:
    """The mean, with the mean without failed runs, and the number of pairs where it was not run on all."""
    method = methods.get(name)
    value = None if method is None else method["mean"].get(measure)
    if method is None or value is None:
        return ""
    text = COLUMNS[measure][1].format(value)
    without = method.get("mean_of_good", {}).get(measure)
    if method.get("failures") and without is not None:
        text += f" ({COLUMNS[measure][1].format(without)} without {len(method['failures'])} failed)"
    planned = max(other["pairs"] for other in methods.values())
    return text if method["pairs"] == planned else f"{text} ({method['pairs']} of {planned} pairs)"


def set_table(methods: Mapping[str, Any], columns: Sequence[str]) -> str:
    """Some measures of one set, a row for each method."""
    rows = [[title(name), *(cell(name, method, column) for column in columns)] for name, method in methods.items()]
    return markdown_table(["method", *(COLUMNS[column][0] for column in columns)], rows)


def title(name: str) -> str:
    """What a method is called; ours in bold."""
    peer = name.removesuffix(FROM_OUR_AFFINE)
    words = TITLES[peer] + (", from our affine stage" if peer != name else "")
    return f"**{words}**" if name.startswith("ours") else words


def cell(name: str, method: Mapping[str, Any], column: str) -> str:
    """One number; empty where there is none."""
    value = number(method, column)
    return "" if value is None or (name == "none" and column in OF_A_RUN) else COLUMNS[column][1].format(value)


def number(method: Mapping[str, Any], column: str) -> float | None:
    """A measure of a method over a set."""
    if column in COUNTS:
        return None if method.get(column) is None else len(method[column])
    if column == "dice30":
        value = method["dice30"]
    elif column.startswith("median "):
        value = method.get("median", {}).get(column.removeprefix("median "))
    else:
        value = method["mean"].get(column)
    return None if value is None else float(value)


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Bring the pages up to date."""
    for page in PAGES:
        page.write_text(page_text(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
