"""Small decisions of the routes: what a path names, rows, files, uploads, keys of repeats."""

import io
from typing import Any

import pytest
from starlette.datastructures import Headers, UploadFile

from gateway.api.files import is_match
from gateway.idempotency import hash_of, repeat_of
from gateway.lookups import environment_filter, phase_of
from gateway.rows import Filter, mean_scores, result_of
from gateway.uploads import checked
from shared.contracts import Outcome
from shared.errors import Invalid, Problem, TooLarge

ENVIRONMENT = {"slug": "sums", "phases": [{"name": "dev", "items": 3}, {"name": "test", "items": 5}]}


def row(sample: int, **fields: Any) -> dict[str, Any]:
    return {
        "_id": f"e1:4:{sample}",
        "index": 4,
        "sample": sample,
        "item_id": "five",
        "target": "5",
        "prediction": "5",
        "output": f"five {sample}",
        "correct": True,
        "scores": {"accuracy": 1.0},
        "outcome": "scored",
        **fields,
    }


def test_the_first_phase_is_the_default() -> None:
    assert phase_of(ENVIRONMENT, None)["items"] == 3
    assert phase_of(ENVIRONMENT, "test")["items"] == 5
    with pytest.raises(Invalid, match="no phase final; there are dev, test"):
        phase_of(ENVIRONMENT, "final")


def test_an_environment_as_a_filter() -> None:
    assert environment_filter("sums") == {"slug": "sums"}
    assert environment_filter("sums@0a1b") == {"environment": "sums@0a1b"}
    for bad in ("", "Sums", "sums@", "sums@xyz", "a/b", {"$gt": ""}.__repr__()):
        with pytest.raises(Invalid, match="environment"):
            environment_filter(bad)


def test_conditions_of_a_filter() -> None:
    assert Filter().conditions() == {}
    assert Filter([Outcome.SCORED], correct=False).conditions() == {
        "outcome": {"$in": ["scored"]},
        "correct": False,
    }


def test_a_row_of_one_sample() -> None:
    result = result_of(row(0, prediction=None, error=None, correct=None, outcome="infra_error"), "2 + 3?")
    assert (result.input, result.target, result.prediction, result.correct) == ("2 + 3?", "5", None, None)
    assert result.samples is None


def test_a_row_of_several_samples_has_the_means() -> None:
    samples = [row(0), row(1, correct=False, scores={"accuracy": 0.0}), row(2, scores={}, output=None, correct=None)]
    result = result_of(samples[0], "2 + 3?", samples)
    assert result.scores == {"accuracy": 0.5}
    assert result.output == "five 0"
    assert result.samples is not None
    assert [(sample.sample, sample.correct, sample.output) for sample in result.samples] == [
        (0, True, "five 0"),
        (1, False, "five 1"),
        (2, None, ""),
    ]


def test_means_are_exact_sums() -> None:
    assert mean_scores([{"a": 0.1}] * 10) == {"a": 0.1}
    assert mean_scores([]) == {}


def test_etags() -> None:
    assert is_match('"abc"', "abc")
    assert is_match('W/"abc"', "abc")
    assert is_match('"x", "abc"', "abc")
    assert is_match("*", "abc")
    assert not is_match("abc", "abc")
    assert not is_match('"abcd"', "abc")


def upload(size: int = 3) -> UploadFile:
    return UploadFile(io.BytesIO(b"x" * size), size=size, filename="b.zip", headers=Headers({}))


def test_one_bundle_and_what_goes_with_it() -> None:
    one = upload()
    found = checked([("import", "{}"), ("bundle", one)], 3, "why", ("import",))
    assert found.bundle is one
    assert found.texts == {"import": "{}"}


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ([], Invalid, "bundle"),
        ([("bundle", upload()), ("bundle", upload())], Invalid, "exactly one"),
        ([("bundle", "text")], Invalid, "must be a file"),
        ([("bundle", upload()), ("import", upload())], Invalid, "must be a text"),
        ([("bundle", upload()), ("import", "{}"), ("import", "{}")], Invalid, "exactly one"),
        ([("bundle", upload()), ("format", "table")], Invalid, "format"),
        ([("file", upload())], Invalid, "file"),
        ([("bundle", upload(0))], Invalid, "empty"),
        ([("bundle", upload(4))], TooLarge, "why"),
    ],
)
def test_anything_but_one_bundle(fields: list[Any], kind: type[Problem], said: str) -> None:
    with pytest.raises(kind, match=said):
        checked(fields, 3, "why", ("import",))


def test_a_repeat_is_recognised_whatever_the_order_of_members() -> None:
    assert hash_of({"a": 1, "b": [2]}) == hash_of({"b": [2], "a": 1})
    assert hash_of({"a": 1}) != hash_of({"a": 2})
    assert repeat_of("models", None, "h") is None
    assert repeat_of("models", "k", "h") == {"key": "models:k", "hash": "h"}
