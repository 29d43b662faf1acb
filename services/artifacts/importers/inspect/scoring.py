"""Which Assay scorer does what one of Inspect's does (its src/inspect_ai/scorer)."""

from typing import Any

from services.artifacts.importers.inspect.samples import NEEDS
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_option
from shared.imports import InspectImport

_SAME = "The same samples, and the same comparison with the whole answer."
_GRADED = """\
You are given a question, {criterion}, and somebody's answer, which ends at the line of equals signs.

Question:
{{{{ input }}}}

{heading}:
{{{{ target }}}}

Answer:
{{{{ output }}}}
====

{ask} Give your reason in a sentence or two, and end with "Verdict: 1" if so, else with "Verdict: 0"."""
_RUBRICS = {
    "model_graded_qa": _GRADED.format(
        criterion="what makes an answer right", heading="What makes an answer right", ask="Is the answer right?"
    ),
    "model_graded_fact": _GRADED.format(
        criterion="the right answer",
        heading="Right answer",
        ask="Does the answer hold the fact that the right one states?",
    ),
}


def scoring_of(options: InspectImport, scorer: str, referenced: bool, report: Report) -> dict[str, Any]:
    """The manifest's `scoring`; where it is not quite Inspect's, the report says so."""
    scoring, why = _closest(options, scorer)
    report.comparable = why is None
    if any(report.dropped.get(key) for key in NEEDS):
        report.comparable, why = False, f"Samples need what is left out. {why or ''}".strip()
    report.comparable_why = why or _SAME
    if referenced and scoring["scorer"] in ("numeric", "judge"):
        report.note("Only the first of several targets counts with this scorer.")
    elif referenced and scoring["scorer"] != "choice":
        scoring["references"] = "references"
    return scoring


def _closest(options: InspectImport, scorer: str) -> tuple[dict[str, Any], str | None]:
    """The Assay scorer, and in what it differs."""
    folds = {"ignore_case": options.ignore_case}
    match scorer:
        case "includes":
            return {"scorer": "contains", **folds}, None
        case "match" if options.numeric:
            why = "Inspect compares numbers to five significant digits, and takes the one at a place of the answer; here the last one must be equal."
            return {"scorer": "numeric"}, why
        case "match" if options.location == "exact":
            return {
                "scorer": "exact_match",
                **folds,
            }, "Inspect also leaves out punctuation at the ends of the answer and the target."
        case "match":
            return {"scorer": "contains", "location": options.location, **folds, "ignore_punctuation": True}, None
        case "exact":
            why = "Inspect also leaves out the articles a, an and the."
            return {"scorer": "exact_match", "ignore_case": True, "ignore_punctuation": True}, why
        case "f1":
            return {"scorer": "f1"}, "Inspect reads numbers in the texts as numbers; here they are words."
        case "pattern":
            if options.pattern is None:
                raise wrong_option("pattern", "is needed for the scorer pattern")
            return {"scorer": "regex", "pattern": options.pattern, "which": "first", **folds}, None
        case "model_graded_qa" | "model_graded_fact":
            why = (
                "The rubric is put in other words than Inspect's, and the judge is the model that an evaluation names."
            )
            return {"scorer": "judge", "rubric": _RUBRICS[scorer], "scale": [0, 1]}, why
    why = "Inspect takes only answers in the form 'ANSWER: B', which its prompt asks for; here any usual wording of a letter counts."
    return {"scorer": "choice", "choices": "choices"}, why
