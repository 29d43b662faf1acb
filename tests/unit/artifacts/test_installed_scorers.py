"""Scorers that another package brings, from the manifest of a bundle to what is said of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from services.artifacts.bundles import Limits
from services.artifacts.inspection import inspect_bundle
from services.artifacts.targets import check_targets
from services.scorer.scorers import main_metric
from services.scorer.targets import Targets
from services.scorer.workers import Workers
from shared.contracts import Prediction
from shared.errors import Invalid
from shared.in_words import scoring_in_words
from shared.manifest import Manifest
from shared.scoring import InstalledScoring, Scoring
from tests.unit.artifacts.bundles import error, make, manifest, read

pytestmark = pytest.mark.usefixtures("plugins")
WORDS = {"scorer": "word_count", "slack": 1}


def test_its_options_are_the_manifests(tmp_path: Path) -> None:
    bundle, _ = read(tmp_path, manifest(scoring=WORDS))
    scoring = bundle.manifest.scoring
    assert isinstance(scoring, InstalledScoring)
    assert (scoring.model_dump(), scoring.lane, main_metric(scoring)) == (WORDS, "process", "closeness")
    assert Manifest.model_validate(bundle.manifest.model_dump(mode="json")).scoring == scoring
    assert "word_count, a scorer that is installed beside Assay" in " ".join(scoring_in_words(scoring))


def test_it_goes_with_every_message() -> None:
    fields = {"evaluation": "e", "model": "m", "index": 0, "item_id": "1", "target": "3", "outcome": "scored"}
    sent = Prediction.model_validate({**fields, "scoring": WORDS})
    wire = sent.model_dump_json(exclude_defaults=True)
    assert '"scoring":{"scorer":"word_count","slack":1}' in wire
    assert Prediction.model_validate_json(wire) == sent


@pytest.mark.parametrize(
    ("scoring", "loc", "says"),
    [
        (
            {"scorer": "word_count", "slak": 1},
            [],
            "unknown key 'slak'; the keys of the scorer word_count are scorer, slack",
        ),
        ({"scorer": "word_count", "slack": "many"}, ["slack"], "must be a whole number"),
        ({"scorer": "broken"}, [], "scorer 'broken' is installed, but cannot be loaded: AttributeError: "),
        (
            {"scorer": "stranger"},
            [],
            "scorer 'stranger' is installed, but assay_examples:Stranger is no InstalledScoring",
        ),
        ({"scorer": "word_counts"}, ["scorer"], "unknown scorer 'word_counts'; "),
    ],
)
def test_what_is_wrong_with_them_is_told(tmp_path: Path, scoring: dict[str, Any], loc: list[str], says: str) -> None:
    found = error(tmp_path, manifest(scoring=scoring))
    assert found["loc"] == ["environment.yaml", "scoring", *loc]
    assert found["msg"].partition(": ")[2].startswith(says)


def test_no_package_takes_the_name_of_a_scorer_of_assays_own() -> None:
    scoring: Scoring = TypeAdapter(Scoring).validate_python({"scorer": "numeric"})
    assert not isinstance(scoring, InstalledScoring)


async def test_its_targets_are_checked_with_their_lines(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    rows = '{"id": "a", "question": "x", "answer": 2}\n{"id": "b", "question": "y", "answer": "two"}\n'
    archive = await asyncio.to_thread(make, tmp_path, manifest(scoring=WORDS), dev__jsonl=rows)
    bundle = await inspect_bundle(archive, tmp_path / "out", Limits())
    workers = Workers(1)
    try:
        with pytest.raises(Invalid) as caught:
            await check_targets(bundle, tmp_path / "out", Targets(workers).check)
    finally:
        await workers.stop()
    (found,) = caught.value.errors
    assert found["loc"] == ["dev.jsonl", 2, "answer"]
    assert found["msg"] == "line 2: the target 'two' is no number of words from 1 on"
