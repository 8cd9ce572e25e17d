"""The comparison's results of our own methods, for the cards of the models."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from LightRegistrationLib.core.models.cards import CARD_FILE, list_cards

from .plan import SETS
from .statistics import Row, summarize

TITLES = {
    "none": "before",
    "affine": "affine",
    "ours-none": "model",
    "ours-fast": "refined, fast",
    "ours-best": "refined, best",
}
MEASURES = ("dice", "hd95_mm", "tre_mm", "folding_percent", "std_log_jacobian")
COMMAND = "Testing/Benchmarks/comparison.py"


def card_results(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Collect the results by model, then by set: count and means over the pairs that the model registered.

    A set belongs to the model that registered more than half of its pairs.
    """
    results: dict[str, dict[str, Any]] = defaultdict(dict)
    for group, plan in SETS.items():
        models = {
            r["pair"]: r["model"]
            for r in rows
            if r["set"] == group and r["method"] == "ours-none" and not r.get("error")
        }
        model, count = Counter(models.values()).most_common(1)[0] if models else ("", 0)
        if count <= len(models) / 2:
            continue
        found = summarize([r for r in rows if models.get(r["pair"]) == model], group)
        means = {
            title: {key: round(found[name].mean[key], 4) for key in MEASURES if found[name].mean[key] is not None}
            for name, title in TITLES.items()
            if name in found
        }
        results[model][plan.title] = {
            "command": COMMAND,
            "pairs": found["ours-none"].pairs,
            "means": means,
        }
    return dict(results)


def write_to_cards(results: dict[str, dict[str, Any]]) -> None:
    """Write the results into the models' cards; they replace all earlier results."""
    cards = list_cards()
    for model, own in results.items():
        file = cards[model].folder / CARD_FILE
        card = {**json.loads(file.read_text(encoding="utf-8")), "results": own}
        file.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
