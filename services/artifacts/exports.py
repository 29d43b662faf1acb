"""The files of an evaluation that are made of its rows: predictions, detailed results, report and dataset.

Rows are pushed one item at a time, in the order of the items' indexes, each with its results in the order of samples;
nothing is kept but counters. The same rows give the same bytes on every rebuild: no clock, fixed or sorted keys, and
nothing of the evaluation that changes while it goes on.

An item is `{index, item_id, input, messages: [{role, content}], target, hints, metadata}`, a result `{index, sample, round,
item_id, target, prediction, output, correct, scores, outcome, error, finish_reason, usage, attempts, latency_ms, ttft_ms}`;
its `target` and `prediction` are what was compared, the item's `target` is the gold answer as the data has it.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Protocol, Self

from services.artifacts.report import MAX_CASES, ReportWriter
from shared.contracts import Outcome
from shared.jsontexts import to_json, to_sorted_json
from shared.predictions import prediction_line

Record = Mapping[str, Any]


class FileType(NamedTuple):
    kind: str
    content_type: str


FILE_TYPES: Mapping[str, FileType] = {
    "submission.zip": FileType("submission", "application/zip"),
    "predictions.jsonl": FileType("predictions", "application/x-ndjson"),
    "scoring_output.zip": FileType("scoring_output", "application/zip"),
    "detailed_results.json": FileType("detailed_results", "application/json"),
    "detailed_results.html": FileType("report", "text/html; charset=utf-8"),
    "dataset.jsonl": FileType("dataset", "application/x-ndjson"),
}
"""All files that an evaluation can have, in the order in which they are listed."""

# What of an evaluation is fixed when it is created. Status, times, progress and files move on, and would change the bytes.
_FIXED = (
    "id",
    "number",
    "environment",
    "environment_version",
    "phase",
    "model",
    "model_name",
    "params",
    "limit",
    "samples_per_item",
    "round",
    "created_at",
)
_BUFFER = 256 * 1024


def _sorted(scores: Record | None) -> Record:
    return dict(sorted((scores or {}).items()))


def fixed_part(evaluation: Record) -> dict[str, Any]:
    """What of an evaluation's public view stays the same from its creation on, but for `round`."""
    judge = ("judge", "judge_name") if evaluation.get("judge") else ()
    return {name: evaluation[name] for name in (*_FIXED, *judge)}


def fixed_metrics(metrics: Record) -> dict[str, Any]:
    """The metrics without `duration_s`, which is known only after the files are stored."""
    return {name: value for name, value in metrics.items() if name != "duration_s"}


def _explained(result: Record) -> dict[str, Any]:
    """How the score came about, where that is told: in a sentence, or by what the judge said."""
    return {name: result[name] for name in ("detail", "judge") if result.get(name)}


def mean_scores(results: Sequence[Record]) -> dict[str, float]:
    """Means of an item's scores over its called samples, sorted by name; a called sample without a score counts 0, as in accuracy."""
    called = [result["scores"] or {} for result in results if result["outcome"] != Outcome.INFRA_ERROR]
    names = sorted({name for scores in called for name in scores})
    return {name: math.fsum(scores.get(name) or 0.0 for scores in called) / len(called) for name in names}


def first_miss(results: Sequence[Record]) -> Record | None:
    """The first sample that was called and is not correct.

    `no_answer` and `model_error` are misses: the model was asked and gave nothing. `infra_error` is not: it was never
    answered, and nothing is known of what the model would have said. Nor is one of which nothing is claimed.
    """
    return next((each for each in results if each["outcome"] != Outcome.INFRA_ERROR and each["correct"] is False), None)


class RowWriter(Protocol):
    """Writes one file into a stream that its opener closes."""

    def add(self, item: Record, results: Sequence[Record]) -> None:
        """One item with its results in the order of samples."""

    def close(self) -> None:
        """Write what ends the file."""


class PredictionsWriter:
    """`predictions.jsonl`: a line a sample."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def add(self, item: Record, results: Sequence[Record]) -> None:
        for result in results:
            self._out.write(prediction_line(result))

    def close(self) -> None:
        """A file of lines has no end of its own."""


class DetailedResultsWriter:
    """`detailed_results.json`: `{evaluation, metrics, items}`, with an item a line.

    With several samples an item has sample 0's `prediction`, `correct` and `outcome`, means in `scores`, and `samples`.
    """

    def __init__(self, out: BinaryIO, evaluation: Record, metrics: Record) -> None:
        self._out = out
        self._separator = b"\n"
        out.write(b'{"evaluation":' + to_sorted_json(fixed_part(evaluation)))
        out.write(b',\n"metrics":' + to_sorted_json(fixed_metrics(metrics)))
        out.write(b',\n"items":[')

    def add(self, item: Record, results: Sequence[Record]) -> None:
        first = results[0]
        entry: dict[str, Any] = {
            "item_id": item["item_id"],
            "input": item["input"],
            "target": first["target"],
            "prediction": first["prediction"],
            "correct": first["correct"],
            "scores": _sorted(first["scores"]) if len(results) == 1 else mean_scores(results),
            "outcome": first["outcome"],
            **_explained(first),
        }
        if len(results) > 1:
            entry["samples"] = [
                {
                    "sample": result["sample"],
                    "prediction": result["prediction"],
                    "correct": result["correct"],
                    "scores": _sorted(result["scores"]),
                    "outcome": result["outcome"],
                    **_explained(result),
                }
                for result in results
            ]
        self._out.write(self._separator + to_json(entry))
        self._separator = b",\n"

    def close(self) -> None:
        self._out.write(b"\n]}\n")


class DatasetWriter:
    """`dataset.jsonl`: the misses in chat fine-tuning form, the gold answer in the assistant's place.

    A line an item of which at least one sample is a miss (`first_miss`); `rejected` is what the model said in the first
    such sample, empty where it said nothing. Lines with the same prompt and answer would only weigh an item by its samples.
    """

    def __init__(self, out: BinaryIO, evaluation_id: str) -> None:
        self._out = out
        self._evaluation = evaluation_id

    def add(self, item: Record, results: Sequence[Record]) -> None:
        miss = first_miss(results)
        if miss is None or not item["target"]:
            return  # where a judge scores there may be no gold answer, and so nothing to learn from
        prompt = [{"role": message["role"], "content": message["content"]} for message in item["messages"]]
        line = {
            "messages": [*prompt, {"role": "assistant", "content": item["target"]}],
            "metadata": {"evaluation": self._evaluation, "item_id": item["item_id"], "rejected": miss["output"]},
        }
        self._out.write(to_json(line) + b"\n")

    def close(self) -> None:
        """A file of lines has no end of its own."""


class FileSetWriter:
    """Builds every file that is made of rows, in a folder and in one pass.

    `dataset.jsonl` is not among them where the manifest says `dataset: false`. A row out of order, or without exactly
    the evaluation's samples, raises `ValueError`. With `hide_targets` no gold answer stands in any of them, and there is no
    `dataset.jsonl`, which is made of those. As a context it closes at its end, and removes the files on an error.
    """

    def __init__(
        self,
        folder: Path,
        evaluation: Record,
        manifest: Record,
        metrics: Record,
        *,
        hide_targets: bool = False,
        report_cases: int = MAX_CASES,
    ) -> None:
        self._hide_targets = hide_targets
        self._samples = list(range(evaluation["samples_per_item"]))
        self._index = -1
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._handles = ExitStack()
        try:
            self._writers: list[RowWriter] = [
                PredictionsWriter(self._create("predictions.jsonl")),
                DetailedResultsWriter(self._create("detailed_results.json"), evaluation, metrics),
                ReportWriter(
                    self._create("detailed_results.html"), evaluation, fixed_metrics(metrics), max_cases=report_cases
                ),
            ]
            if manifest.get("dataset", True) and not hide_targets:
                self._writers.append(DatasetWriter(self._create("dataset.jsonl"), evaluation["id"]))
        except BaseException:
            self.discard()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add(self, item: Record, results: Sequence[Record]) -> None:
        if item["index"] <= self._index:
            raise ValueError(f"item {item['item_id']!r}: index {item['index']} after {self._index}; rows go by index")
        found = [(result["index"], result["sample"]) for result in results]
        if found != [(item["index"], sample) for sample in self._samples]:
            wanted = f"one result of index {item['index']} for each sample from 0 to {self._samples[-1]}, in order"
            raise ValueError(f"item {item['item_id']!r}: expected {wanted}; got (index, sample) {found[:10]}")
        self._index = item["index"]
        if self._hide_targets:
            item = {**item, "target": None}
            results = [{**result, "target": None, "judge": None, "detail": None} for result in results]
        for writer in self._writers:
            writer.add(item, results)

    def close(self) -> dict[str, Path]:
        """Complete the files and say where they are, by name. Doing it again changes nothing."""
        writers, self._writers = self._writers, []
        try:
            for writer in writers:
                writer.close()
            self._handles.close()
        except BaseException:
            self.discard()
            raise
        return self._paths

    def discard(self) -> None:
        """Give up, and remove what was written."""
        with suppress(OSError):  # what could not be flushed is not wanted any more
            self._handles.close()
        for path in self._paths.values():
            path.unlink(missing_ok=True)

    def _create(self, name: str) -> BinaryIO:
        path = self._folder / name
        handle = self._handles.enter_context(path.open("wb", buffering=_BUFFER))
        self._paths[name] = path
        return handle
