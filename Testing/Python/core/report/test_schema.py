"""The JSON Schema and the table of report.json are up to date, and real reports follow the schema."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator, ValidationError

from LightRegistrationLib.commands.phantom.pair import PhantomPair, make_phantom_pair
from LightRegistrationLib.core.models.registry import ModelRegistry
from LightRegistrationLib.core.report.definition import SCHEMA_VERSION, InitialChoice, JacobianReport, Report
from LightRegistrationLib.core.report.schema import SCHEMA_FILE, SCHEMA_ID, build_schema, format_schema
from LightRegistrationLib.core.report.table import build_table
from LightRegistrationLib.core.result.progress import Stage
from LightRegistrationLib.core.result.settings import InitialAlignment, RegistrationSettings
from LightRegistrationLib.worker.protocol import RegistrationRequest
from LightRegistrationLib.worker.task import run_request

from ... import quick_model

TABLE_FILE = Path(__file__).resolve().parents[4] / "docs" / "researcher" / "report-schema.md"
OUT_OF_DATE = "run: python -m LightRegistrationLib.core.report"


@lru_cache
def pair() -> PhantomPair:
    return make_phantom_pair(spacing_mm=4.0)


@lru_cache
def report_of(kind: str) -> Report:
    """The report of a real registration, as the worker builds it."""
    heads = pair()
    plain = RegistrationRequest(heads.fixed, heads.moving, RegistrationSettings(model=quick_model.NAME, threads=1))
    segmented = replace(
        plain, fixed_segmentation=heads.fixed_segmentation, moving_segmentation=heads.moving_segmentation
    )
    inverted = replace(heads.moving, array=(heads.moving.array.max() - heads.moving.array).astype(np.int32))
    requests = {
        "plain": plain,
        "segmented": segmented,
        "refined": replace(segmented, settings=replace(plain.settings, refine="fast")),
        "preserved": replace(segmented, settings=replace(plain.settings, keep_volume=("Brain stem",))),
        "checked": replace(plain, check_consistency=True),
        "masked": replace(plain, fixed_mask=replace(heads.fixed_segmentation, name="brain")),
        "multimodal": replace(plain, moving=inverted),
    }
    report = run_request(ModelRegistry(), requests[kind], lambda update: None).report
    return json.loads(json.dumps(report, allow_nan=False))


def validate(report: Report) -> None:
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))).validate(report)


def test_the_shipped_schema_is_valid_and_up_to_date() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == format_schema(), OUT_OF_DATE
    schema = build_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == SCHEMA_ID == f"urn:light-registration:report:{SCHEMA_VERSION}"


def test_the_table_in_the_documents_is_up_to_date() -> None:
    assert TABLE_FILE.read_text(encoding="utf-8") == build_table(), OUT_OF_DATE


@pytest.mark.parametrize("kind", ["plain", "segmented", "refined", "preserved", "checked", "masked", "multimodal"])
def test_real_reports_follow_the_schema(kind: str) -> None:
    validate(report_of(kind))


def test_the_kinds_of_reports_differ_where_they_should() -> None:
    assert report_of("plain")["structures"] is None
    assert report_of("segmented")["structures"]
    assert report_of("refined")["refinement"]["preset"] == "fast"
    assert 0 < report_of("checked")["consistency"]["mean_mm"] < 5
    assert [structure["name"] for structure in report_of("preserved")["kept"]] == ["Brain stem"]
    assert report_of("masked")["masks"]["fixed"] == "brain"
    multimodal = report_of("multimodal")
    assert multimodal["refinement"]["metric"] == "MIND"
    assert Stage.MULTIMODAL in multimodal["seconds"]


@pytest.mark.parametrize(
    "change",
    [
        {"schema": SCHEMA_VERSION - 1},
        {"seconds": {"two contrasts": 0.1}},
        {"seconds": {"network": -0.1}},
        {"fixed": {}},
        {"kept": None},
        {"jacobian": dict.fromkeys(JacobianReport.__annotations__, 0.1) | {"percent_nonpositive": 101.0}},
        {"masks": {"fixed": None, "moving": None, "third": None}},
        {"initial_matrix_fixed_to_moving_ras_mm": np.eye(3).tolist()},
        {"unknown": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_other_reports_do_not_follow_the_schema(change: dict) -> None:
    with pytest.raises(ValidationError):
        validate({**report_of("plain"), **change})


@pytest.mark.parametrize(
    "key",
    sorted(
        Report.__annotations__.keys()
        - {
            "inputs",
            "outputs",
            "labels",
            "inverse",
            "consistency",
            "landmarks",
            "review",
            "versions",
            "known_deformation",
        }
    ),
)
def test_no_key_may_be_missing(key: str) -> None:
    report = dict(report_of("plain"))
    del report[key]
    with pytest.raises(ValidationError):
        validate(report)


def test_every_initial_alignment_has_its_word_in_the_report() -> None:
    assert set(InitialChoice) == {*InitialAlignment, InitialChoice.TRANSFORM}
    assert math.isfinite(report_of("plain")["jacobian"]["minimum"])
