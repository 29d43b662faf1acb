"""Lines of a log as pages show them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.web.loglines import Line, line_of

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": f"assay.evaluation.{kind}", "time": "2026-01-02T03:04:05Z", "data": {"round": 0, **data}}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (event("queued", status="queued"), Line(AT, "info", "Queued")),
        (event("progress", message="Processing: 10/100 (10%)"), Line(AT, "info", "Processing: 10/100 (10%)", True)),
        (event("log", level="warning", message="slow"), Line(AT, "warning", "slow")),
        (event("scored", message="accuracy=26.00% correct=26/100"), Line(AT, "info", "accuracy=26.00% correct=26/100")),
        (event("failed", error="no scores", message="no scores"), Line(AT, "error", "Failed: no scores")),
        (event("failed", error="no scores"), Line(AT, "error", "Failed: no scores")),
        (event("cancelled"), Line(AT, "warning", "Cancelled")),
    ],
)
def test_an_event_is_a_line(given: dict[str, Any], line: Line) -> None:
    assert line_of(given) == line
