"""What a manifest says in sentences: what is asked, how it is scored and ranked, when a phase is open."""

from typing import Any, get_args

import pytest

from shared.in_words import measured_in_words, phase_in_words, ranking_in_words, scoring_in_words
from shared.manifest import Manifest, Phase
from shared.scoring import Scoring

SCORINGS: list[tuple[dict[str, Any], list[str]]] = [
    ({"scorer": "numeric"}, ["last number", "equals the target exactly", "share of correct"]),
    ({"scorer": "numeric", "tolerance": 0.5}, ["at most 0.5"]),
    ({"scorer": "exact_match"}, ["equals the target; blanks at both ends make no difference"]),
    (
        {"scorer": "exact_match", "ignore_case": True, "ignore_punctuation": True},
        ["upper and lower case, punctuation and blanks at both ends"],
    ),
    ({"scorer": "contains"}, ["contains the target", "makes no difference"]),
    ({"scorer": "contains", "ignore_case": False}, ["upper or lower case counts"]),
    (
        {"scorer": "contains", "location": "end", "ignore_punctuation": True, "references": "more"},
        ["ends with the target or one in the column more", "punctuation at the ends does not"],
    ),
    (
        {"scorer": "regex", "pattern": "a", "ignore_case": True, "ignore": ["b"], "references": "more"},
        ["one in the column more, apart from its case and what the patterns under ignore match"],
    ),
    ({"scorer": "choice", "choices": "options"}, ["choice that the answer names", "column options"]),
    ({"scorer": "regex", "pattern": "a", "which": "first"}, ["first match of the pattern"]),
    ({"scorer": "regex"}, ["each item's target is a regular expression"]),
    ({"scorer": "f1", "threshold": 0.6}, ["SQuAD", "F1 of 0.6", "mean F1"]),
    ({"scorer": "rouge", "variant": "rouge2"}, ["those of the target:", "rouge2 of 0.5", "mean rouge2"]),
    ({"scorer": "bleu", "references": "others"}, ["column others, the best of which", "all answers together"]),
    ({"scorer": "math", "time_limit_s": 2}, ["LaTeX", "is boxed before any other", "equivalent", "2 s of CPU time"]),
    ({"scorer": "json"}, ["has all of the target's fields right", "mean share of fields that are right"]),
    (
        {"scorer": "json", "schema": {}, "fields": ["a", "b"], "threshold": 0.5},
        ["fits the schema and has at least 50% of the fields a and b right"],
    ),
    ({"scorer": "code", "time_limit_s": 60}, ["sandbox", "passes all", "1 minute and 512 MB"]),
    ({"scorer": "judge", "rubric": "x", "scale": [1, 5]}, ["from 1 to 5", "0.5 on", "mean of what the judge gave"]),
    ({"scorer": "judge", "rubric": "x", "model": "big"}, ["The judge is the model big"]),
    (
        {"scorer": "judge", "rubric": "x", "pairwise": {"against": "other"}},
        ["column other", "in both orders", "both times", "share of comparisons"],
    ),
    ({"program": "p/", "time_limit_s": 7200}, ["own scoring program", "2 hours and 2,048 MB", "first column"]),
    ({"program": "p/", "item_scorer": {"scorer": "numeric"}}, ["marked by the scorer numeric"]),
]


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate(
        {
            "slug": "a",
            "title": "A",
            "prompt": {"template": "{{ q }}"},
            "phases": [{"name": "dev", "data": "d.jsonl"}, {"name": "test", "data": "t.jsonl"}],
            "scoring": {"scorer": "numeric"},
            **changes,
        }
    )


@pytest.mark.parametrize(("scoring", "words"), SCORINGS)
def test_scoring(scoring: dict[str, Any], words: list[str]) -> None:
    said = " ".join(scoring_in_words(manifest(scoring=scoring).scoring))
    assert all(word in said for word in words), said


def test_there_are_words_for_every_scorer() -> None:
    said = {type(manifest(scoring=scoring).scoring) for scoring, _ in SCORINGS}
    assert said == set(get_args(get_args(Scoring)[0]))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"template": "{{ q }}"}, "one message made from its columns"),
        ({"system": "Be brief.", "template": "{{ q }}"}, "a system prompt, the same for all, and a message"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
            "2 messages (user and assistant)",
        ),
        ({"chat": "turns"}, "brings the chat that it is asked with, in its column turns"),
    ],
)
def test_what_is_asked(prompt: dict[str, Any], words: str) -> None:
    said = measured_in_words(manifest(prompt=prompt), {"dev": 100, "test": 1400})
    assert said[0] == "A model answers 1,500 items in 2 phases: dev (100) and test (1,400)."
    assert words in said[1]
    assert len(said) == 2


def test_how_answers_are_generated() -> None:
    generation = {"temperature": 0, "max_tokens": 64, "stop": ["END"]}
    said = measured_in_words(manifest(generation=generation), {"dev": 1})
    assert said[0] == "A model answers 1 item, in the phase dev."
    assert "with temperature 0, at most 64 tokens and stop 'END', where" in said[2]


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, []),
        ({"start": "2026-01-01"}, ["It is open from 2026-01-01 00:00 UTC on."]),
        ({"end": "2026-01-01T12:30:00+02:00"}, ["It is open until 2026-01-01 10:30 UTC."]),
        (
            {"start": "2026-01-01", "end": "2026-02-01"},
            ["It is open from 2026-01-01 00:00 UTC to 2026-02-01 00:00 UTC."],
        ),
        ({"max_submissions": 1}, ["A model may be evaluated in it once in all."]),
        (
            {"max_submissions": 10, "max_submissions_per_day": 2},
            ["A model may be evaluated in it 10 times in all and 2 times a day (UTC)."],
        ),
        ({"execution_time_limit_s": 90}, ["An evaluation may take 90 s."]),
        ({"hide_targets": True}, ["Its targets are hidden."]),
    ],
)
def test_phases(limits: dict[str, Any], said: list[str]) -> None:
    assert phase_in_words(Phase.model_validate({"name": "dev", "data": "d.jsonl", **limits})) == said


def test_ranking() -> None:
    columns = [{"key": "duration_s", "title": "Duration", "sorting": "asc"}]
    board = {"columns": columns, "submission_rule": "force_best"}
    assert ranking_in_words(manifest(leaderboard=board)) == [
        "The leaderboard ranks by Duration, lowest first.",
        "A model's best evaluation stands on the leaderboard.",
    ]
