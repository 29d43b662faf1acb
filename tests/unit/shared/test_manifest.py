"""The manifest's schema is published as it is, and its own rules hold."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.manifest import Manifest, json_schema

SCHEMA = Path(__file__).parents[3] / "docs" / "environment.schema.json"

GOOD = {
    "slug": "a",
    "title": "A",
    "prompt": {"template": "{{ q }}"},
    "phases": [{"name": "dev", "data": "dev.jsonl"}],
    "scoring": {"scorer": "numeric"},
}


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema()


def test_a_small_manifest_is_whole() -> None:
    manifest = Manifest.model_validate(GOOD)
    assert manifest.dataset
    assert manifest.phase("dev") is manifest.phases[0]
    assert manifest.leaderboard.columns[0].key == "overall_score"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"phases": []}, "phases"),
        ({"phases": [{"name": "a", "data": "x"}, {"name": "a", "data": "y"}]}, "differ"),
        ({"phases": [{"name": "a", "data": "x", "start": "2026-02-01", "end": "2026-01-01"}]}, "after start"),
        ({"prompt": {}}, "one of template, messages and chat"),
        ({"prompt": {"chat": "input", "template": "x"}}, "one of template, messages and chat"),
        ({"prompt": {"chat": "input", "system": "s"}}, "system"),
        ({"scoring": {"scorer": "regex", "ignore": [","]}}, "need a pattern"),
        ({"prompt": {"messages": [{"role": "user", "content": "a"}], "system": "s"}}, "system"),
        ({"scoring": {"scorer": "numeric", "tolerance": float("inf")}}, "finite"),
        ({"scoring": {"scorer": "numeric", "tolerence": 1}}, "tolerence"),
        ({"generation": {"temperature": -1}}, "temperature"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        Manifest.model_validate({**GOOD, **change})
