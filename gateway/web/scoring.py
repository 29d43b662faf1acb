"""How an environment scores, said in words. Pure."""

from typing import Any

from pydantic import TypeAdapter

from shared.manifest import (
    BleuScoring,
    ChoiceScoring,
    CodeScoring,
    ContainsScoring,
    ExactMatchScoring,
    F1Scoring,
    JsonScoring,
    JudgeScoring,
    MathScoring,
    NumericScoring,
    ProgramScoring,
    RegexScoring,
    RougeScoring,
    Scoring,
)

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)


def in_words(manifest: dict[str, Any]) -> list[str]:
    """Sentences out of a manifest's `scoring`: what is taken from an answer, when it is correct, and what the score is.

    A pattern is left to the page.
    """
    scoring = _SCORING.validate_python(manifest)
    taken, correct = _comparison(scoring)
    return [taken, correct, _score(scoring)]


def _comparison(scoring: Scoring) -> tuple[str, str]:
    match scoring:
        case NumericScoring(tolerance=tolerance):
            taken = (
                "The last number in the answer is taken; one after #### or in \\boxed{} comes before any other. "
                "1,234 and $1,234 and 1234.00 are the same number, and so are 0.5 and 1/2."
            )
            if tolerance:
                return taken, f"It is correct if it differs from the target by at most {tolerance:g}."
            return taken, "It is correct if it equals the target exactly; nothing is rounded."
        case ExactMatchScoring(ignore_case=ignore_case, ignore_punctuation=ignore_punctuation):
            ignored = _listed(
                [
                    *(["upper and lower case"] if ignore_case else []),
                    *(["punctuation"] if ignore_punctuation else []),
                    "blanks at both ends",
                ]
            )
            return "The whole answer is taken.", f"It is correct if it equals the target; {ignored} make no difference."
        case ContainsScoring(ignore_case=ignore_case):
            case_counts = "makes no difference" if ignore_case else "counts"
            return (
                "The whole answer is taken.",
                f"It is correct if it contains the target; upper or lower case {case_counts}.",
            )
        case ChoiceScoring():
            return (
                "The choice that the answer names is taken: its letter, in any of the usual wordings.",
                "It is correct if it is the item's right choice.",
            )
        case RegexScoring(pattern=None, ignore_case=ignore_case):
            case_counts = "makes no difference" if ignore_case else "counts"
            return (
                "The whole answer is taken; each item's target is a regular expression.",
                f"It is correct if the expression matches somewhere in it; upper or lower case {case_counts}.",
            )
        case RegexScoring(which=which, ignore_case=ignore_case):
            case_counts = ", whatever its case" if ignore_case else ""
            return (
                f"The {which} match of the pattern below is taken: its first group, or all of it where it has no group.",
                f"It is correct if it equals the target{case_counts}.",
            )
        case F1Scoring(threshold=threshold):
            return (
                "The words of the answer are compared with those of the target: F1 as SQuAD computes it, "
                "without case, punctuation and articles.",
                "It is correct if both have the same words."
                if threshold == 1
                else f"It counts as correct from an F1 of {threshold:g} on.",
            )
        case RougeScoring(variant=variant, threshold=threshold):
            return (
                "The words of the answer are compared with those of the target: ROUGE, as Google's rouge_score computes it.",
                f"It counts as correct from a {variant} of {threshold:g} on.",
            )
        case BleuScoring(threshold=threshold):
            return (
                "The words of the answer are compared with those of the target: BLEU, as sacrebleu computes it.",
                f"It counts as correct from a sentence's BLEU of {threshold:g} on.",
            )
        case MathScoring():
            return (
                "The last mathematical expression of the answer is taken, be it LaTeX or plain text.",
                "It is correct if it is equivalent to the target.",
            )
        case JsonScoring(threshold=threshold):
            return (
                "The JSON value in the answer is taken.",
                "It is correct if it fits the schema and all its fields are right."
                if threshold == 1
                else f"It is correct if it fits the schema and at least {threshold:.0%} of its fields are right.",
            )
        case CodeScoring():
            return (
                "The code in the answer is taken, and run in a sandbox with the item's unit tests.",
                "It is correct if it passes all of them.",
            )
        case JudgeScoring(pairwise=None, threshold=threshold):
            return (
                "Another model judges each answer by the environment's rubric.",
                f"It counts as correct from {threshold:g} on, of a scale that goes from 0 to 1.",
            )
        case JudgeScoring():
            return (
                "Another model compares each answer with the one that the item has, by the environment's rubric.",
                "It is correct if the judge prefers it.",
            )
        case ProgramScoring():
            return (
                "When all answers are there, the environment's own scoring program reads them.",
                "What is right, and what the scores are, is what it says.",
            )


def _score(scoring: Scoring) -> str:
    match scoring:
        case F1Scoring():
            return "The score is the mean F1 of all answers that the model was asked for."
        case RougeScoring(variant=variant):
            return f"The score is the mean {variant} of all answers that the model was asked for."
        case BleuScoring():
            return "The score is the BLEU of all answers together."
        case JudgeScoring(pairwise=None):
            return "The score is the mean of what the judge gave."
        case JudgeScoring():
            return "The score is the share of comparisons that were won, a tie counting half."
        case ProgramScoring():
            return "The score is the program's, by the first column of the leaderboard."
    return "The score is the share of correct answers among all that the model was asked for. An empty answer is wrong."


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
