"""What was once on the wire must still parse, to the same values: stored JSON of each message.

A change that breaks one of these files needs a new reader beside the old one, not a new file in its place.
"""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from shared.contracts import (
    EngineLines,
    EngineOrder,
    EngineState,
    EngineTemplate,
    Event,
    FileEntry,
    Job,
    Landed,
    ModelEndpoint,
    Note,
    PacingGrant,
    PacingHold,
    PacingReport,
    PacingState,
    Prediction,
    ProbeAnswer,
    Step,
)

FOLDER = Path(__file__).parent / "messages"

MESSAGES: dict[str, type[BaseModel]] = {
    "job": Job,
    "job_with_choices": Job,
    "job_judging": Job,
    "prediction": Prediction,
    "prediction_infra_error": Prediction,
    "prediction_judging": Prediction,
    "landed": Landed,
    "note": Note,
    "step": Step,
    "file": FileEntry,
    "model_endpoint": ModelEndpoint,
    "model_endpoint_auto": ModelEndpoint,
    "pacing_report": PacingReport,
    "pacing_hold": PacingHold,
    "pacing_grant": PacingGrant,
    "pacing_state": PacingState,
    "probe_answer": ProbeAnswer,
    "engine_order": EngineOrder,
    "engine_state": EngineState,
    "engine_lines": EngineLines,
    "engine_template": EngineTemplate,
    "event": Event,
}


@pytest.mark.parametrize("name", MESSAGES)
def test_a_stored_message_parses_and_loses_nothing(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    parsed = MESSAGES[name].model_validate(stored)
    written = parsed.model_dump(mode="json", exclude_defaults=True)
    assert written == {key: value for key, value in stored.items() if key in written}
    # What is not written again is exactly what equals its default.
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in MESSAGES[name].model_fields.items()
    }
    assert all(getattr(parsed, key) == defaults[key] for key in stored.keys() - written.keys())


@pytest.mark.parametrize("name", MESSAGES)
def test_a_newer_sender_does_not_break_an_older_reader(name: str) -> None:
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    assert MESSAGES[name].model_validate({**stored, "from_the_future": {"x": 1}}) == MESSAGES[name].model_validate(
        stored
    )


def test_every_stored_message_is_checked() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(MESSAGES)


def test_ids_that_the_broker_deduplicates_by_stay_what_they_are() -> None:
    stored = json.loads((FOLDER / "job.json").read_text())
    assert Job.model_validate(stored).message_id() == "e4b92d8e78413a498:17:1:2:3"
    assert Job.model_validate(stored).key() == "e4b92d8e78413a498:17:1"
