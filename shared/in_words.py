"""What an environment measures, how it scores and when its phases are open, said in words that come from its manifest alone. Pure.

The API, the pages and the command line all say it with these sentences. Where a text is long (a pattern, a rubric) it is left to them.
"""

from datetime import datetime
from typing import Protocol

from shared.manifest import Manifest, SubmissionRule
from shared.scoring import (
    BleuScoring,
    ChoiceScoring,
    CodeScoring,
    ContainsScoring,
    ExactMatchScoring,
    F1Scoring,
    InstalledScoring,
    JsonScoring,
    JudgeScoring,
    MathScoring,
    NumericScoring,
    ProgramScoring,
    RegexScoring,
    RougeScoring,
    Scoring,
)


class PhaseRules(Protocol):
    """What the manifest's phase and the API's both have."""

    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime | None: ...
    @property
    def max_submissions(self) -> int | None: ...
    @property
    def max_submissions_per_day(self) -> int | None: ...
    @property
    def execution_time_limit_s(self) -> float | None: ...
    @property
    def hide_targets(self) -> bool: ...


_RULES: dict[SubmissionRule, str] = {
    "all": "Every completed evaluation of a model stands on the leaderboard.",
    "add": "One evaluation of each model stands on the leaderboard: the one that somebody has put there last.",
    "add_and_delete": "One evaluation of each model stands on the leaderboard: the one that somebody has put there last, "
    "until it is taken off.",
    "force_last": "A model's latest evaluation stands on the leaderboard.",
    "force_best": "A model's best evaluation stands on the leaderboard.",
}


def measured_in_words(manifest: Manifest, items: dict[str, int]) -> list[str]:
    """What a model is asked. `items` is how many each phase has, by its name."""
    named = _listed([f"{name} ({count:,})" for name, count in items.items()])
    total = sum(items.values())
    what = f"A model answers {_counted(total, 'item')}"
    asked = [
        what + (f" in {len(items)} phases: {named}." if len(items) > 1 else f", in the phase {next(iter(items))}.")
    ]
    prompt = manifest.prompt
    if prompt.messages is not None:
        roles = _listed([message.role for message in prompt.messages])
        asked.append(f"Each is asked with {_counted(len(prompt.messages), 'message')} ({roles}) made from its columns.")
    elif prompt.chat is not None:
        asked.append(f"Each brings the chat that it is asked with, in its column {prompt.chat}.")
    elif prompt.system:
        asked.append("Each is asked with a system prompt, the same for all, and a message made from its columns.")
    else:
        asked.append("Each is asked with one message made from its columns.")
    given = manifest.generation.model_dump(exclude_none=True)
    if given:
        said = _listed([_parameter(name, value) for name, value in given.items()])
        asked.append(f"Answers are generated with {said}, where an evaluation does not say otherwise.")
    return asked


def phase_in_words(phase: PhaseRules) -> list[str]:
    """When a phase is open and what limits its evaluations; empty where nothing does."""
    said = []
    if phase.start and phase.end:
        said.append(f"It is open from {_moment(phase.start)} to {_moment(phase.end)}.")
    elif phase.start:
        said.append(f"It is open from {_moment(phase.start)} on.")
    elif phase.end:
        said.append(f"It is open until {_moment(phase.end)}.")
    quotas = []
    if phase.max_submissions:
        quotas.append(f"{_times(phase.max_submissions)} in all")
    if phase.max_submissions_per_day:
        quotas.append(f"{_times(phase.max_submissions_per_day)} a day (UTC)")
    if quotas:
        said.append(f"A model may be evaluated in it {' and '.join(quotas)}.")
    if phase.execution_time_limit_s:
        said.append(f"An evaluation may take {_duration(phase.execution_time_limit_s)}.")
    if phase.hide_targets:
        said.append("Its targets are hidden.")
    return said


def ranking_in_words(manifest: Manifest) -> list[str]:
    """What ranks a leaderboard, and which evaluations stand on it."""
    first = manifest.leaderboard.columns[0]
    order = "highest" if first.sorting == "desc" else "lowest"
    rule = _RULES[manifest.leaderboard.submission_rule]
    return [f"The leaderboard ranks by {first.title or first.key}, {order} first.", rule]


def scoring_in_words(scoring: Scoring | InstalledScoring) -> list[str]:
    """What is taken from an answer, when it is correct, and what the score is."""
    taken, correct = _comparison(scoring)
    return [taken, correct, *_limits(scoring), _score(scoring)]


def _comparison(scoring: Scoring | InstalledScoring) -> tuple[str, str]:
    match scoring:
        case NumericScoring(tolerance=tolerance):
            taken = (
                "The last number in the answer is taken; one after #### or in \\boxed{} comes before any other. "
                "1,234 and $1,234 and 1234.00 are the same number, and so are 0.5 and 1/2."
            )
            if tolerance:
                return taken, f"It is correct if it differs from the target by at most {tolerance:g}."
            return taken, "It is correct if it equals the target exactly; nothing is rounded."
        case ExactMatchScoring(ignore_case=ignore_case, ignore_punctuation=ignore_punctuation, references=references):
            ignored = _listed(
                [
                    *(["upper and lower case"] if ignore_case else []),
                    *(["punctuation"] if ignore_punctuation else []),
                    "blanks at both ends",
                ]
            )
            return (
                "The whole answer is taken.",
                f"It is correct if it equals {_gold(references)}; {ignored} make no difference.",
            )
        case ContainsScoring(ignore_case=ignore_case, location=location, references=references):
            how = {"any": "contains", "begin": "begins with", "end": "ends with"}[location]
            case_counts = "makes no difference" if ignore_case else "counts"
            ends = ", punctuation at the ends does not" if scoring.ignore_punctuation else ""
            return (
                "The whole answer is taken.",
                f"It is correct if it {how} {_gold(references)}; upper or lower case {case_counts}{ends}.",
            )
        case ChoiceScoring(choices=choices):
            return (
                f"The choice that the answer names is taken, of those in the item's column {choices}: "
                "by its letter, in any of the usual wordings.",
                "It is correct if it is the item's right choice.",
            )
        case RegexScoring(pattern=None, ignore_case=ignore_case):
            case_counts = "makes no difference" if ignore_case else "counts"
            return (
                "The whole answer is taken; each item's target is a regular expression.",
                f"It is correct if the expression matches somewhere in it; upper or lower case {case_counts}.",
            )
        case RegexScoring(which=place, ignore_case=ignore_case, references=references):
            left_out = _listed(
                [
                    *(["its case"] if ignore_case else []),
                    *(["punctuation"] if scoring.ignore_punctuation else []),
                    *(["what the patterns under ignore match"] if scoring.ignore else []),
                ]
            )
            return (
                f"The {place} match of the pattern is taken: its first group, or all of it where it has no group.",
                f"It is correct if it equals {_gold(references)}{f', apart from {left_out}' if left_out else ''}.",
            )
        case F1Scoring(threshold=threshold, references=references):
            return (
                f"The words of the answer are compared with those of {_golds(references)}: F1 as SQuAD computes it, "
                "without case, punctuation and articles.",
                "It is correct if both have the same words."
                if threshold == 1
                else f"It counts as correct from an F1 of {threshold:g} on.",
            )
        case RougeScoring(variant=variant, threshold=threshold, references=references):
            return (
                f"The words of the answer are compared with those of {_golds(references)}: "
                "ROUGE, as Google's rouge_score computes it.",
                f"It counts as correct from a {variant} of {threshold:g} on.",
            )
        case BleuScoring(threshold=threshold, references=references):
            return (
                f"The words of the answer are compared with those of {_golds(references)}: "
                "BLEU, as sacrebleu computes it.",
                f"It counts as correct from a sentence's BLEU of {threshold:g} on.",
            )
        case MathScoring():
            return (
                "The mathematical expression in the answer is taken, be it LaTeX or plain text: "
                "what is named as the final answer or is boxed before any other, and else the last one.",
                "It is correct if it is equivalent to the target.",
            )
        case JsonScoring(json_schema=schema, fields=fields, threshold=threshold):
            fits = "fits the schema and " if schema is not None else ""
            which = f"of the fields {_listed(fields)}" if fields else "of the target's fields"
            share = f"all {which}" if threshold == 1 else f"at least {threshold:.0%} {which}"
            return "The JSON value in the answer is taken.", f"It is correct if it {fits}has {share} right."
        case CodeScoring():
            return (
                "The Python code in the answer is taken, and run in a sandbox with the item's unit tests.",
                "It is correct if it passes all of them.",
            )
        case JudgeScoring(pairwise=None, threshold=threshold, scale=(lowest, highest)):
            return (
                "Another model judges each answer by the environment's rubric, "
                f"from {lowest:g} to {highest:g}, which is scaled to 0 to 1.",
                f"It counts as correct from {threshold:g} on, of the scaled verdict.",
            )
        case JudgeScoring(pairwise=pairwise) if pairwise is not None:
            twice = ", twice, in both orders" if pairwise.swap else ""
            return (
                f"Another model compares each answer with the one in the item's column {pairwise.against}, "
                f"by the environment's rubric{twice}.",
                f"It is correct if the judge prefers it{' both times' if pairwise.swap else ''}.",
            )
        case ProgramScoring(item_scorer=item):
            return (
                "When all answers are there, the environment's own scoring program reads them.",
                "What the scores are is what it says"
                + (f"; the list of test cases is marked by the scorer {item.scorer}." if item else "."),
            )
        case InstalledScoring(scorer=name):
            return (
                f"The answer is compared with the target by {name}, a scorer that is installed beside Assay.",
                "It is correct if that says so.",
            )
    raise AssertionError(f"no words for the scorer {scoring.scorer}")


def _limits(scoring: Scoring | InstalledScoring) -> list[str]:
    match scoring:
        case CodeScoring(time_limit_s=seconds, memory_mb=memory):
            return [f"An item's tests may take {_duration(seconds)} and {memory:,} MB of memory."]
        case MathScoring(time_limit_s=seconds):
            return [f"Comparing an item may take {_duration(seconds)} of CPU time."]
        case ProgramScoring(time_limit_s=seconds, memory_mb=memory):
            return [f"The program may take {_duration(seconds)} and {memory:,} MB of memory, in a sandbox."]
        case JudgeScoring(model=str(model)):
            return [f"The judge is the model {model}, where an evaluation does not name another."]
    return []


def _score(scoring: Scoring | InstalledScoring) -> str:
    match scoring:
        case F1Scoring():
            return "The score is the mean F1 of all answers that the model was asked for."
        case RougeScoring(variant=variant):
            return f"The score is the mean {variant} of all answers that the model was asked for."
        case BleuScoring():
            return "The score is the BLEU of all answers together, as sacrebleu computes it, on a scale from 0 to 1."
        case JsonScoring():
            return (
                "The score is the mean share of fields that are right, of all answers that the model was asked for. "
                "One that does not fit the schema counts 0."
            )
        case JudgeScoring(pairwise=None):
            return "The score is the mean of what the judge gave."
        case JudgeScoring():
            return "The score is the share of comparisons that were won, a tie counting half."
        case ProgramScoring():
            return "The score is the program's, by the first column of the leaderboard."
        case InstalledScoring() if scoring.main_metric != "accuracy":
            return f"The score is the mean {scoring.main_metric} of all answers that the model was asked for."
    return "The score is the share of correct answers among all that the model was asked for. An empty answer is wrong."


def _listed(parts: list[str]) -> str:
    if not parts:
        return ""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _gold(references: str | None) -> str:
    return "the target" if references is None else f"the target or one in the column {references}"


def _golds(references: str | None) -> str:
    return (
        "the target"
        if references is None
        else f"the target and of those in the column {references}, the best of which counts"
    )


def _parameter(name: str, value: object) -> str:
    if name == "max_tokens":
        return f"at most {value:,} tokens"
    return f"{name.replace('_', ' ')} {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, list):
        return " or ".join(map(repr, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return _counted(round(seconds / size), unit)
    return f"{seconds:g} s"
