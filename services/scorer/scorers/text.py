"""Scorers that compare texts: `exact_match`, `contains` and `f1`. All are linear in the answer's length."""

import string
from collections import Counter
from collections.abc import Mapping
from typing import Any

import regex

from services.scorer.scorers.score import Score, clip, compared
from shared.manifest import ContainsScoring, ExactMatchScoring, F1Scoring

_PUNCTUATION = regex.compile(r"[\p{P}\p{S}]+")
_SQUAD_PUNCTUATION = str.maketrans("", "", string.punctuation)
_SQUAD_ARTICLES = regex.compile(r"\b(?:a|an|the)\b")


def exact_match(output: str, target: str, scoring: ExactMatchScoring, hints: Mapping[str, Any]) -> Score:
    """The whole answer, trimmed, is the target. What was compared is what is shown: folded and stripped as the options say."""
    prediction, wanted = _normalised(output, scoring), _normalised(target, scoring)
    return compared(prediction or None, wanted, bool(wanted) and prediction == wanted)


def check_exact_match(target: str, scoring: ExactMatchScoring, hints: Mapping[str, Any]) -> str | None:
    if _normalised(target, scoring):
        return None
    if target.strip():
        return "the target is nothing but punctuation, which ignore_punctuation leaves out; give a word or turn the option off"
    return "the target is empty; an answer that is right is never empty"


def contains(output: str, target: str, scoring: ContainsScoring, hints: Mapping[str, Any]) -> Score:
    """The target, trimmed, stands somewhere in the answer. The prediction is what was found: the target or nothing."""
    wanted = target.strip()
    if scoring.ignore_case:
        wanted, output = wanted.casefold(), output.casefold()
    correct = bool(wanted) and wanted in output
    return compared(wanted if correct else None, wanted, correct)


def check_contains(target: str, scoring: ContainsScoring, hints: Mapping[str, Any]) -> str | None:
    return None if target.strip() else "the target is empty, which every answer contains"


def f1(output: str, target: str, scoring: F1Scoring, hints: Mapping[str, Any]) -> Score:
    """Token F1 = 2 * common / (tokens of the answer + tokens of the target), tokens in common counted with their repeats.

    As in the evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016, arXiv:1606.05250).
    """
    found, wanted = _tokens(output), _tokens(target)
    common = (Counter(found) & Counter(wanted)).total()
    value = 2 * common / (len(found) + len(wanted)) if common else 0.0
    correct = value >= scoring.threshold
    prediction = " ".join(found) or None
    wanted_text = " ".join(wanted)
    return Score(prediction if prediction == wanted_text else clip(prediction), wanted_text, correct, {"f1": value})


def check_f1(target: str, scoring: F1Scoring, hints: Mapping[str, Any]) -> str | None:
    return (
        None if _tokens(target) else "the target has no word beside articles and punctuation, which token F1 leaves out"
    )


def _normalised(text: str, scoring: ExactMatchScoring) -> str:
    if scoring.ignore_case:
        text = text.casefold()
    if scoring.ignore_punctuation:
        return " ".join(_PUNCTUATION.sub("", text).split())
    return text.strip()


def _tokens(text: str) -> list[str]:
    """SQuAD's normalisation: lower case, without ASCII punctuation, without articles, split at white space."""
    tokens: list[str] = _SQUAD_ARTICLES.sub(" ", text.lower().translate(_SQUAD_PUNCTUATION)).split()
    return tokens
