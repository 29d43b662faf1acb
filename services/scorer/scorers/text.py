"""Scorers that compare texts: `exact_match`, `contains` and `f1`. All are linear in the answer's length."""

import string
from collections import Counter
from collections.abc import Mapping
from typing import Any

import regex

from services.scorer.scorers.score import Score, clip, compared, golds
from shared.scoring import ContainsScoring, ExactMatchScoring, F1Scoring, ProgramScoring

PUNCTUATION = regex.compile(r"[\p{P}\p{S}]+")
_ENDS = string.whitespace + string.punctuation
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SQUAD_ARTICLES = regex.compile(r"\b(?:a|an|the)\b")


def exact_match(output: str, target: str, scoring: ExactMatchScoring, hints: Mapping[str, Any]) -> Score:
    """The whole answer, trimmed, is a gold answer. What was compared is what is shown: folded and stripped as the options say."""
    prediction = _normalised(output, scoring)
    wanted = [_normalised(gold, scoring) for gold in golds(target, scoring, hints)]
    correct = bool(prediction) and prediction in wanted
    return compared(prediction or None, prediction if correct else wanted[0], correct)


def check_exact_match(target: str, scoring: ExactMatchScoring, hints: Mapping[str, Any]) -> str | None:
    if any(_normalised(gold, scoring) for gold in golds(target, scoring, hints)):
        return None
    return _nothing_of(target) or "the target is empty; an answer that is right is never empty"


def as_target(output: str, target: str, scoring: ProgramScoring, hints: Mapping[str, Any]) -> Score:
    """An answer that a program scores: the target, trimmed, is correct, and without one nothing is claimed."""
    prediction, wanted = output.strip(), target.strip()
    if not wanted:
        return Score(clip(prediction) or None, "", None, {})
    return compared(prediction or None, wanted, prediction == wanted)


def check_as_target(target: str, scoring: ProgramScoring, hints: Mapping[str, Any]) -> str | None:
    return None


def contains(output: str, target: str, scoring: ContainsScoring, hints: Mapping[str, Any]) -> Score:
    """A gold answer, trimmed, stands in the answer. The prediction is what was found: a gold answer or nothing."""
    text = _trimmed(output, scoring)
    wanted = [_trimmed(gold, scoring) for gold in golds(target, scoring, hints)]
    found = {"any": text.__contains__, "begin": text.startswith, "end": text.endswith}[scoring.location]
    prediction = next((gold for gold in wanted if gold and found(gold)), None)
    return compared(prediction, wanted[0] if prediction is None else prediction, prediction is not None)


def check_contains(target: str, scoring: ContainsScoring, hints: Mapping[str, Any]) -> str | None:
    if any(_trimmed(gold, scoring) for gold in golds(target, scoring, hints)):
        return None
    return _nothing_of(target) or "the target is empty, which every answer contains"


def f1(output: str, target: str, scoring: F1Scoring, hints: Mapping[str, Any]) -> Score:
    """Token F1 = 2 * common / (tokens of the answer + tokens of the gold answer), tokens in common counted with their repeats; the best of all
    gold answers.

    As in the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250).
    """
    found = _tokens(output)
    value, wanted = max(
        ((_f1(found, tokens), tokens) for tokens in map(_tokens, golds(target, scoring, hints))), key=lambda one: one[0]
    )
    correct = value >= scoring.threshold
    prediction = " ".join(found) or None
    wanted_text = " ".join(wanted)
    return Score(prediction if prediction == wanted_text else clip(prediction), wanted_text, correct, {"f1": value})


def check_f1(target: str, scoring: F1Scoring, hints: Mapping[str, Any]) -> str | None:
    if any(map(_tokens, golds(target, scoring, hints))):
        return None
    return "the target has no word beside articles and punctuation, which token F1 leaves out"


def _nothing_of(target: str) -> str | None:
    """What to say where the options leave nothing of a target; None where there was nothing before."""
    if not target.strip():
        return None
    return (
        "the target is nothing but punctuation, which ignore_punctuation leaves out; give a word or turn the option off"
    )


def _f1(found: list[str], wanted: list[str]) -> float:
    common = (Counter(found) & Counter(wanted)).total()
    return 2 * common / (len(found) + len(wanted)) if common else 0.0


def _trimmed(text: str, scoring: ContainsScoring) -> str:
    text = text.strip(_ENDS if scoring.ignore_punctuation else None)
    return text.casefold() if scoring.ignore_case else text


def _normalised(text: str, scoring: ExactMatchScoring) -> str:
    if scoring.ignore_case:
        text = text.casefold()
    if scoring.ignore_punctuation:
        return " ".join(PUNCTUATION.sub("", text).split())
    return text.strip()


def _tokens(text: str) -> list[str]:
    """SQuAD's normalisation: lower case, without ASCII punctuation, without articles, split at white space."""
    tokens: list[str] = _SQUAD_ARTICLES.sub(" ", text.lower().translate(_SQUAD_PUNCTUATION)).split()
    return tokens
