"""Which changes of a model make a version of its settings."""

from datetime import UTC, datetime
from typing import Any

import pytest

from services.orchestrator.versions import MOST, first_version, next_version

AT = datetime(2026, 1, 2, tzinfo=UTC)
MODEL: dict[str, Any] = {
    "_id": "m1",
    "name": "m0.26",
    "base_url": "http://a/v1",
    "model": "a",
    "api_key": None,
    "timeout_s": 60.0,
    "price": None,
    "created_at": AT,
}
REGISTERED = MODEL | first_version(MODEL)


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"timeout_s": 30.0}, ["timeout_s"]),
        ({"price": {"input": 1.0, "output": 2.0}, "max_concurrency": "auto"}, ["max_concurrency", "price"]),
        ({"api_key": "ciphertext"}, ["api_key"]),
        ({"api_key_env": "A_API_KEY"}, ["api_key_env"]),
    ],
)
def test_a_setting_that_is_another_makes_the_next_version(changes: dict[str, Any], changed: list[str]) -> None:
    made = next_version(REGISTERED, REGISTERED | changes, AT)
    first, second = made["versions"]
    assert made["settings_version"] == second["version"] == 2
    assert [name for name in second["settings"] if second["settings"][name] != first["settings"][name]] == changed
    assert "ciphertext" not in str(made)


@pytest.mark.parametrize("changes", [{}, {"timeout_s": 60.0}, {"name": "m0.27"}, {"tags": ["a"], "owner": "b"}])
def test_what_changes_no_setting_makes_none(changes: dict[str, Any]) -> None:
    assert next_version(REGISTERED, REGISTERED | changes, AT) == {}


def test_another_key_in_the_place_of_one_makes_none() -> None:
    keyed = REGISTERED | {"api_key": "one"}
    assert next_version(keyed, keyed | {"api_key": "two"}, AT) == {}


def test_where_an_engine_answers_at_present_is_no_setting() -> None:
    started = MODEL | {"engine": {"name": "vllm", "checkpoint": "/m"}}
    started |= first_version(started)
    assert next_version(started, started | {"base_url": "http://127.0.0.1:9/v1"}, AT) == {}
    assert (
        next_version(started, started | {"engine": {"name": "vllm", "checkpoint": "/n"}}, AT)["settings_version"] == 2
    )


def test_a_model_from_before_there_were_versions_gets_its_first_one_too() -> None:
    made = next_version(MODEL, MODEL | {"timeout_s": 30.0}, AT)
    assert [row["settings"]["timeout_s"] for row in made["versions"]] == [60.0, 30.0]


def test_the_newest_versions_are_kept() -> None:
    model = REGISTERED
    for seconds in range(1, MOST + 3):
        model = model | {"timeout_s": float(seconds)}
        model |= next_version(REGISTERED | {key: model[key] for key in ("versions", "settings_version")}, model, AT)
    assert [len(model["versions"]), model["versions"][0]["version"]] == [MOST, model["settings_version"] - MOST + 1]
