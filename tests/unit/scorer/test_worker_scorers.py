"""The scorers that run in worker processes, by values that their libraries or the texts that define them publish."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sacrebleu import corpus_bleu

from services.scorer.scorers import Score, main_metric, worker_scorer
from shared.scoring import Scoring

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)


def scored(output: str, target: str, references: list[str] | None = None, **options: Any) -> Score:
    """By the scorer alone, without a process around it."""
    if references is not None:
        options["references"] = "more"
    scoring = _SCORING.validate_python(options)
    found: Score = worker_scorer(scoring).score(output, target, scoring, {"more": references or []})
    return found


def refused(target: str, **options: Any) -> str:
    scoring = _SCORING.validate_python(options)
    return worker_scorer(scoring).check_target(target, scoring, {}) or ""


ROUGE: dict[str, Any] = {"scorer": "rouge"}
FOX = "The quick brown fox jumps over the lazy dog"
DOG = "The quick brown dog jumps on the log."


def test_rouge_of_the_librarys_own_example() -> None:
    # rouge_score's README: precision 0.75 and 0.625, recall 0.667 and 0.556.
    found = scored(DOG, FOX, **ROUGE)
    assert found.scores == pytest.approx({"rouge1": 12 / 17, "rouge2": 4 / 15, "rougeL": 10 / 17})
    assert found.correct
    assert not scored(DOG, FOX, **ROUGE, threshold=0.6).correct
    assert scored(DOG, FOX, **ROUGE, threshold=0.6, variant="rouge1").correct


def test_rouge_of_lins_sentences() -> None:
    # Lin 2004, section 3.1: 3/4 and 1/2 for the longest common subsequence with 'police killed the gunman'.
    gunman = "police killed the gunman"
    assert scored("police kill the gunman", gunman, **ROUGE).scores["rougeL"] == 3 / 4
    assert scored("the gunman kill police", gunman, **ROUGE).scores["rougeL"] == 1 / 2
    assert scored("the gunman kill police", gunman, **ROUGE).scores["rouge1"] == 3 / 4
    assert scored("police kill the gunman", gunman, **ROUGE, stemmer=True).scores["rougeL"] == 1


def test_rouge_of_several_gold_answers_is_that_of_the_best() -> None:
    found = scored("a b c", "x y z", ["a b c", "a"], **ROUGE)
    assert found.scores == {"rouge1": 1, "rouge2": 1, "rougeL": 1}
    lines = scored("c d\na b", "a b\nc d", **ROUGE, variant="rougeLsum")
    assert lines.scores["rougeLsum"] == 1 > lines.scores["rougeL"]


def test_rouge_takes_words_of_latin_letters_only() -> None:
    assert "for other scripts take bleu" in refused("東京", **ROUGE)
    assert refused("Tokyo 東京", **ROUGE) == ""
    assert scored("東京", "Tokyo", **ROUGE).scores == {"rouge1": 0, "rouge2": 0, "rougeL": 0}


BLEU: dict[str, Any] = {"scorer": "bleu"}
# The sentences of sacrebleu's README.
ANSWERS = ["The dog bit the man.", "It wasn't surprising.", "The man had just bitten him."]
GOLDS = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]
MORE = ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."]


def test_bleu_of_the_librarys_own_example() -> None:
    rows = zip(ANSWERS, GOLDS, MORE, strict=True)
    found = [scored(answer, gold, [more], **BLEU) for answer, gold, more in rows]
    sums = [sum(each) for each in zip(*(one.statistics or [] for one in found), strict=True)]
    scoring = _SCORING.validate_python(BLEU)
    # README: BLEU = 48.53 82.4/50.0/45.5/37.5 (BP = 0.943 ratio = 0.944 hyp_len = 17 ref_len = 18)
    assert round(worker_scorer(scoring).corpus(sums, scoring)["bleu"], 4) == 0.4853
    assert sums == [17, 18, 14, 7, 5, 3, 17, 14, 11, 8]
    assert main_metric(scoring) == "bleu"
    assert found[0].scores == {"sentence_bleu": 1}


TEXTS = st.lists(st.tuples(st.text(max_size=40), st.text(min_size=1, max_size=40)), min_size=1, max_size=8)


@given(TEXTS, st.sampled_from(["13a", "char", "intl", "none", "zh"]), st.booleans())
def test_bleu_over_all_answers_is_sacrebleus(pairs: list[tuple[str, str]], tokenize: str, lowercase: bool) -> None:
    options = {**BLEU, "tokenize": tokenize, "lowercase": lowercase}
    found = [scored(*pair, **options) for pair in pairs]
    assert all(0 <= value <= 1 for one in found for value in one.scores.values())
    sums = [sum(each) for each in zip(*(one.statistics or [] for one in found), strict=True)]
    scoring = _SCORING.validate_python(options)
    outputs, golds = [output for output, _ in pairs], [gold for _, gold in pairs]
    expected = corpus_bleu(outputs, [golds], tokenize=tokenize, lowercase=lowercase, force=True).score / 100
    assert worker_scorer(scoring).corpus(sums, scoring)["bleu"] == min(1, expected)


def test_bleu_needs_something_to_compare_with() -> None:
    assert "no word" in refused("  ", **BLEU)
    assert refused("東京", **BLEU, tokenize="zh") == ""


MATH: dict[str, Any] = {"scorer": "math"}


@pytest.mark.parametrize(
    ("output", "target", "correct"),
    [
        (r"So the answer is $\boxed{\frac{2}{4}}$.", "1/2", True),
        (r"The final answer is $0.5$. I hope it is correct.", r"\frac{1}{2}", True),
        (r"First $7$, then $\boxed{8}$, and not $9$.", "8", True),
        (r"$x^2 + 2x + 1$", "(x+1)^2", True),
        (r"$\{2, 1\}$", r"\{1, 2\}", True),
        (r"$(1, 2)$", "(2, 1)", False),
        (r"$[0, 1)$", r"[0,1)", True),
        (r"$[0, 1]$", r"[0,1)", False),
        (r"$\sqrt{8}$", r"2\sqrt{2}", True),
        (r"$x = 5$", "5", True),
        (
            r"\boxed{\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}}",
            r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
            True,
        ),
        ("It is 1,234.50", "1234.5", True),
        ("12%", r"12\%", True),
        ("I do not know.", "8", False),
        ("", "8", False),
        ("8", r"Half of 16 is $\boxed{8}$.", True),
    ],
)
def test_math(output: str, target: str, correct: bool) -> None:
    assert refused(target, **MATH) == ""
    found = scored(output, target, **MATH)
    assert found.correct is correct
    assert found.scores == {}


def test_math_shows_what_it_compared() -> None:
    found = scored(r"So it is $\boxed{\frac{2}{4}}$.", "1/2", **MATH)
    assert (found.prediction, found.target) == (r"\frac{2}{4}", r"\frac{1}{2}")
    assert scored("no idea", "x+1", **MATH)[:2] == (None, "x+1")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (r"\frac{1", "no expression that can be read"),
        ("!?", "no expression that can be read"),
        ("the square root of two", "reads as words (square, root)"),
        (r"\text{even} + 1", ""),
        (r"\arcsin(x)", ""),
    ],
)
def test_a_target_that_is_no_mathematics_is_told(target: str, says: str) -> None:
    message = refused(target, **MATH)
    assert says in message if says else not message


PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
}
ADA = '{"name": "Ada", "age": 36}'
JSON: dict[str, Any] = {"scorer": "json"}


@pytest.mark.parametrize(
    ("output", "scores", "says"),
    [
        (ADA, (1, 1, 1), None),
        (f"Here it is:\n```json\n{ADA}\n```\nIt is [1] right.", (1, 1, 1), None),
        (f'I thought of {{"name": "Bob"}} first, but {ADA} it is', (1, 1, 1), None),
        ('{"age": 36.0, "name": "Ada", "born": 1815}', (1, 1, 1), None),
        ('{"name": "Ada", "age": 37}', (0.5, 1, 0.5), "Wrong or missing: age."),
        ('{"name": "Ada"}', (0.5, 1, 0.5), "Wrong or missing: age."),
        ('{"name": 1, "age": 36}', (0, 0, 0.5), "It does not fit the schema: 1 is not of type 'string' (at /name). "),
        ('["Ada", 36]', (0, 0, 0), "It does not fit the schema: ['Ada', 36] is not of type 'object'. "),
        ("Ada, 36", (0, 0, 0), "There is no JSON in the answer."),
        ('{"name": "Ada", "age": NaN}', (0, 0, 0), "There is no JSON in the answer."),
        ('{"name": "Ada", ', (0, 0, 0), "There is no JSON in the answer."),
        ("[" * 100_000, (0, 0, 0), "The JSON in the answer is nested too deeply."),
        ("{" * 100_000, (0, 0, 0), "There is no JSON in the answer."),
    ],
)
def test_json(output: str, scores: tuple[float, ...], says: str | None) -> None:
    found = scored(output, ADA, **JSON, schema=PERSON)
    assert (found.scores["score"], found.scores["valid"], found.scores["fields"]) == scores
    assert found.correct is (scores[0] == 1)
    assert (found.detail or "").startswith(says or "")
    assert (found.detail is None) is (says is None)


def test_json_shows_what_it_compared_in_one_order() -> None:
    found = scored('{"b": 1, "a": {"d": "é", "c": 2}}', '{"a": {"c": 2, "d": "é"}, "b": 1.0}', **JSON)
    assert found.prediction == '{"a": {"c": 2, "d": "é"}, "b": 1}'
    assert found.target == '{"a": {"c": 2, "d": "é"}, "b": 1.0}'


def test_json_without_a_target_is_measured_by_its_schema() -> None:
    assert scored(ADA, "", **JSON, schema=PERSON).scores == {"score": 1, "valid": 1, "fields": 1}
    assert not scored("{}", "", **JSON, schema=PERSON).correct
    assert main_metric(_SCORING.validate_python(JSON)) == "score"


def test_json_fields_are_named_by_pointers() -> None:
    target = '{"a": {"b/c": [10, 20]}, "d": 1, "e": null}'
    answer = '{"a": {"b/c": [10, 21]}, "d": 2, "e": null}'
    assert scored(answer, target, **JSON, fields=["/a/b~1c/0", "/a/b~1c/1", "d", "/e"], threshold=0.5)[2:] == (
        True,
        {"score": 0.5, "valid": 1.0, "fields": 0.5},
        "Wrong or missing: a/b~1c/1, d.",
        None,
    )
    assert scored(answer, target, **JSON, tolerance=1).correct
    assert scored("[1, 2]", "[1, 2]", **JSON).correct
    assert scored('"yes"', '"yes"', **JSON).correct
    assert scored("1", "true", **JSON).correct is False
    assert scored("0.3", "0.1", **JSON, tolerance=0.2).correct


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("{", {}, "the target is not JSON: Expecting property name"),
        ("", {}, "there is no scoring.schema either"),
        ("", {"schema": PERSON, "fields": ["name"]}, "scoring.fields names some of it"),
        ("{}", {}, "the target has no fields to be compared"),
        (ADA, {"fields": ["/name", "/born"]}, "the target has no field '/born', which scoring.fields names"),
        ('{"age": 1}', {"schema": PERSON}, "does not fit scoring.schema: 'name' is a required property"),
        (ADA, {"schema": {"$ref": "http://127.0.0.1/x"}}, "refers to what is not in it: http://127.0.0.1/x"),
        (ADA, {"schema": {"$ref": "#"}}, "refers to itself without end"),
        ("[" * 10_000, {}, "nested too deeply"),
        (ADA, {"schema": PERSON, "fields": ["name", "/age"]}, ""),
    ],
)
def test_a_target_that_json_cannot_use_is_told(target: str, options: dict[str, Any], says: str) -> None:
    message = refused(target, **JSON, **options)
    assert says in message if says else not message


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.text(alphabet="abc .:`\n", max_size=20))
def test_json_finds_what_was_written_into_an_answer(value: Any, words: str) -> None:
    text = json.dumps(value)
    found = scored(text, text, **JSON)
    assert found.scores["score"] == 1
    if isinstance(value, list | dict) and value:
        assert scored(f"{words}{text}{words}", text, **JSON).correct


@given(VALUES, VALUES)
def test_json_is_equal_both_ways(one: Any, other: Any) -> None:
    left, right = json.dumps(one), json.dumps(other)
    if left == right:
        assert scored(left, right, **JSON).correct
    if not isinstance(one, dict) and not isinstance(other, dict):
        assert scored(left, right, **JSON).correct == scored(right, left, **JSON).correct


ANY: list[dict[str, Any]] = [ROUGE, BLEU, {**BLEU, "tokenize": "intl"}, MATH, JSON, {**JSON, "schema": PERSON}]
PIECES = st.lists(
    st.sampled_from(
        ["$", "{", "}", "\\frac", "\\boxed{", "answer is ", "1", "^", "[", '"a":', ",", "x", "=", "é", "東", "\0", "\n"]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@given(PIECES, st.sampled_from(ANY))
def test_no_text_makes_one_raise(output: str, options: dict[str, Any]) -> None:
    found = scored(output, '{"name": "1"}' if options["scorer"] == "json" else "1", **options)
    assert all(0 <= value <= 1 for value in found.scores.values())
    assert isinstance(found.correct, bool)
