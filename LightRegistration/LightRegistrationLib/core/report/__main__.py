"""Write the JSON Schema and the table of report.json: python -m LightRegistrationLib.core.report.

To be run in a checkout after every change of `core/report/definition.py`.
"""

from __future__ import annotations

from pathlib import Path

from .schema import SCHEMA_FILE, format_schema
from .table import build_table

TABLE_FILE = Path(__file__).resolve().parents[4] / "docs" / "researcher" / "report-schema.md"

if __name__ == "__main__":
    SCHEMA_FILE.write_text(format_schema(), encoding="utf-8")
    TABLE_FILE.write_text(build_table(), encoding="utf-8")
