"""Which Assay scorer does what one of Inspect's does (its src/inspect_ai/scorer)."""

from typing import Any

from services.artifacts.importers.inspect.samples import NEEDS
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_option
from shared.imports import InspectImport


def scoring_of(options: InspectImport, scorer: str, referenced: bool, report: Report) -> dict[str, Any]:
    """The Assay scorer that does what Inspect's does, and where it does not quite."""
    same: dict[str, Any] = {"references": "references"} if referenced else {}
    scoring: dict[str, Any]
    why = "The same samples, and the same comparison with the whole answer."
    match scorer:
        case "includes":
            scoring = {"scorer": "contains", "ignore_case": options.ignore_case, **same}
        case "match" if options.numeric:
            scoring, report.comparable = {"scorer": "numeric"}, False
            why = "Inspect compares numbers to five significant digits, and takes the one at a place of the answer; here the last one must be equal."
            if referenced:
                report.note("Only the first of several targets counts with this scorer.")
        case "match" if options.location != "exact":
            scoring = {
                "scorer": "contains",
                "location": options.location,
                "ignore_case": options.ignore_case,
                "ignore_punctuation": True,
                **same,
            }
        case "match":
            scoring, report.comparable = {"scorer": "exact_match", "ignore_case": options.ignore_case, **same}, False
            why = "Inspect also leaves out punctuation at the ends of the answer and the target."
        case "exact":
            scoring, report.comparable = (
                {"scorer": "exact_match", "ignore_case": True, "ignore_punctuation": True, **same},
                False,
            )
            why = "Inspect also leaves out the articles a, an and the."
        case "f1":
            scoring, report.comparable = {"scorer": "f1", **same}, False
            why = "Inspect reads numbers in the texts as numbers; here they are words."
        case "pattern":
            if options.pattern is None:
                raise wrong_option("pattern", "is needed for the scorer pattern")
            scoring = {
                "scorer": "regex",
                "pattern": options.pattern,
                "which": "first",
                "ignore_case": options.ignore_case,
                **same,
            }
        case _:
            scoring, report.comparable = {"scorer": "choice", "choices": "choices"}, False
            why = "Inspect takes only answers in the form 'ANSWER: B', which its prompt asks for; here any usual wording of a letter counts."
    report.comparable_why = why if report.comparable_why == "" else report.comparable_why
    if not report.comparable and any(report.dropped.get(key) for key in NEEDS):
        report.comparable_why = f"Samples need what is left out. {why}"
    return scoring
