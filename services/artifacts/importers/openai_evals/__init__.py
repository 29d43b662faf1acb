"""Samples of OpenAI evals with the basic classes of its registry (openai/evals, evals/elsuite/basic and docs/eval-templates.md)."""

from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, write_manifest, write_rows
from services.artifacts.importers.datafiles import drop_column
from services.artifacts.importers.openai_evals.registry import entry_of
from services.artifacts.importers.openai_evals.samples import Samples, examples_of
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in
from services.artifacts.problems import Problems
from shared.imports import OpenAIEvalsImport


def convert(source: Path, options: OpenAIEvalsImport, out: Path, limits: Limits) -> Report:
    files = files_in(source)
    report = Report()
    entry = entry_of(files, options, limits, report)
    problems = Problems()
    examples = examples_of(entry, files, limits, problems)
    samples = Samples(entry, files, limits, problems, examples, report)
    write_rows(out / "samples.jsonl", samples.items())
    problems.raise_any()
    if not samples.referenced:
        drop_column(out / "samples.jsonl", "references")
    generation: dict[str, Any] = {"temperature": 0.0}
    if isinstance(most := entry.arguments.get("max_tokens", 16 if entry.kind == "fuzzy_match" else None), int):
        generation["max_tokens"] = most
    ignore_case = options.ignore_case if options.ignore_case is not None else bool(entry.arguments.get("ignore_case"))
    write_manifest(
        out,
        {
            **head(options, title=entry.name, tags=["openai-evals"]),
            "prompt": {"chat": "chat"},
            "generation": generation,
            "phases": [{"name": "test", "data": "samples.jsonl"}],
            "scoring": _scoring(entry.kind, samples.referenced, ignore_case, report),
        },
    )
    return report


def _scoring(kind: str, referenced: bool, ignore_case: bool, report: Report) -> dict[str, Any]:
    same: dict[str, Any] = {"references": "references"} if referenced else {}
    if kind == "json_match":
        report.comparable = False
        report.comparable_why = "An answer with more keys than the ideal one is right here, and wrong in the original."
        return {"scorer": "json"}
    if kind == "fuzzy_match":
        report.comparable = False
        report.comparable_why = (
            "The original also takes an answer that is a part of an ideal one, and leaves out articles and punctuation."
        )
        return {"scorer": "contains", "ignore_case": True, **same}
    report.comparable_why = "The same messages at temperature 0, and the same comparison."
    if kind == "includes":
        return {"scorer": "contains", "ignore_case": ignore_case, **same}
    return {"scorer": "contains", "location": "begin", "ignore_case": False, **same}
