"""`/evaluations/{ref}/files`: what an evaluation leaves behind, and what is in each file."""

from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.parts import PartsOf
from gateway.web.evaluation import frame
from gateway.web.render import page
from shared.api import Evaluation, File

router = APIRouter(include_in_schema=False)

REPORT = "detailed_results.html"
DATASET = "dataset.jsonl"


@dataclass(frozen=True)
class Entry:
    """Files that belong together under one heading; `label` is what a file's download button says."""

    title: str
    what: str
    names: tuple[tuple[str, str], ...]


ENTRIES = (
    Entry(
        "Submission File",
        "What was run: environment and version, phase, the items, parameters, and the model's settings without its key.",
        (("submission.zip", "Download"),),
    ),
    Entry(
        "Prediction Output",
        "A line a sample: the whole answer, how it ended, tokens, latency and attempts.",
        (("predictions.jsonl", "Download"),),
    ),
    Entry(
        "Scoring Output",
        "All metrics as JSON, and what the scoring said.",
        (("scoring_output.zip", "Download"),),
    ),
    Entry(
        "Detailed Results",
        "Every test case with target, prediction and scores: as a report that stands alone, and as JSON.",
        ((REPORT, "HTML"), ("detailed_results.json", "JSON")),
    ),
    Entry(
        "Generated dataset",
        "The test cases that were missed, with the right answer, as chat messages to fine-tune a model with.",
        ((DATASET, "Download"),),
    ),
)


@router.get("/evaluations/{reference}/files")
async def show_files(reference: str, request: Request, parts: PartsOf) -> Response:
    values = await frame(parts, reference)
    evaluation: Evaluation = values["evaluation"]
    return page(
        request,
        "evaluation_files.html",
        tab="files",
        **values,
        entries=entries(evaluation.files),
        report=REPORT,
        dataset=DATASET,
    )


def entries(files: list[File]) -> list[tuple[Entry, list[tuple[File, str]]]]:
    """Every entry with those of its files that are there; what no entry names comes last, under its own name."""
    there = {file.name: file for file in files}
    found = [(entry, [(there[name], label) for name, label in entry.names if name in there]) for entry in ENTRIES]
    named = {name for entry in ENTRIES for name, _ in entry.names}
    others = [(Entry(file.name, "", ()), [(file, "Download")]) for file in files if file.name not in named]
    return [*found, *others]
