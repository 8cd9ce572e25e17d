"""The verdict of a reader on a result, stored as attributes of its transform node and saved with the scene."""

from __future__ import annotations

from typing import Any, Literal

from ...core.report.definition import ReviewReport, Verdict

_PREFIX = "LightRegistration.review."
ReviewField = Literal["verdict", "reviewer", "note"]


def read_review(transform: Any) -> ReviewReport:
    """Return the verdict that is stored with a result; a word of another version is read as not reviewed."""
    verdict, reviewer, note = (transform.GetAttribute(_PREFIX + name) or "" for name in ("verdict", "reviewer", "note"))
    return {
        "verdict": Verdict(verdict) if verdict in list(Verdict) else Verdict.NOT_REVIEWED,
        "reviewer": reviewer,
        "note": note,
    }


def store_review(transform: Any, field: ReviewField, text: str) -> None:
    """Store one part of the verdict with a result. A new result in the same node begins without a verdict."""
    if read_review(transform)[field] != text:
        transform.SetAttribute(_PREFIX + field, text or None)
