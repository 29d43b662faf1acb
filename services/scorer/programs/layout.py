"""What a scoring program finds: its own files, the reference data, and the evaluation's predictions."""

import asyncio
import json
import os
import urllib.parse
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO

import yaml

from services.scorer.programs.forms import Form
from shared.predictions import prediction_line
from shared.scoring import PredictionsFile, ProgramScoring
from shared.storage.mongo import Document
from shared.unpacking import ArchiveLimits, extract_part

METADATA = ("metadata.yaml", "metadata")
MANIFEST = "environment.yaml"
PREDICTIONS = "predictions.jsonl"
_LONGEST_NAME = 200


class Layout:
    """The folders that become those of `/app`, in a new folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.program = folder / "program"
        self.input = folder / "input"
        self.reference = self.input / "ref"
        self.results = self.input / "res"
        self.output = folder / "output"
        self.shared = folder / "shared"

    def unpack(self, bundle: Path, scoring: ProgramScoring, reference: str | None, limits: ArchiveLimits) -> None:
        """The program and the reference data, out of a bundle that was checked when it was registered. Blocks."""
        for made in (self.input, self.results, self.output, self.shared):
            made.mkdir()
        extract_part(bundle, MANIFEST, scoring.program, self.program, METADATA, limits)
        if reference is None:
            self.reference.mkdir()
        else:
            extract_part(bundle, MANIFEST, reference, self.reference, (), limits)

    def open_up(self) -> None:
        """Everybody may read it all, whatever this process's umask is, and run what is in the program's folder. Blocks."""
        for top in (self.program, self.input):
            for folder, _, files in os.walk(top):
                os.chmod(folder, 0o755)  # noqa: S103 - a folder of this run alone
                for name in files:
                    os.chmod(os.path.join(folder, name), 0o755 if top is self.program else 0o644)

    async def write_results(
        self, batches: AsyncIterator[list[Document]], *, files: bool, samples: int, form: PredictionsFile | None = None
    ) -> None:
        """`predictions.jsonl`, the file of `form`, with `files` a text file a sample, and `metadata`; from results in the order of
        (index, sample)."""
        first: float | None = None
        last: float | None = None
        with ExitStack() as stack:
            # One of the same name takes its place.
            own = form is not None and form.name == PREDICTIONS
            lines = None if own else stack.enter_context((self.results / PREDICTIONS).open("wb"))
            shaped = None if form is None else stack.enter_context(closing(Form(self.results, form)))
            async for batch in batches:
                await asyncio.to_thread(self._write, lines, shaped, batch, files, samples)
                starts = [row["started_at"] for row in batch if row["started_at"] is not None]
                ends = [row["landed_at"] for row in batch if row["landed_at"] is not None]
                first = min([*starts, *([] if first is None else [first])], default=None)
                last = max([*ends, *([] if last is None else [last])], default=None)
        elapsed = max(0.0, last - first) if first is not None and last is not None else 0.0
        # What a Codabench worker leaves there after the predictions, and what ingestion programs do: programs read the duration.
        told = {"elapsedTime": elapsed, "exitCode": 0, "ingestionElapsedTime": None, "ingestionExitCode": None}
        (self.results / "metadata").write_text(yaml.safe_dump(told))
        if form is None or form.name != "metadata.json":
            (self.results / "metadata.json").write_text(json.dumps({"duration": elapsed}))

    def _write(
        self, lines: BinaryIO | None, shaped: Form | None, batch: Sequence[Document], files: bool, samples: int
    ) -> None:
        for result in batch:
            if lines is not None:
                lines.write(prediction_line(result))
            if shaped is not None:
                shaped.add(result)
            if files:
                text = result["output"].encode(errors="replace")
                (self.results / result_file(result, samples)).write_bytes(text)


def result_file(result: Document, samples: int) -> str:
    """`<item id>.txt`, or with several samples an item `<item id>.<sample>.txt`.

    What is no letter, digit, `_`, `.`, `-` or `~` is percent-encoded; an id that is too long for a file's name gives `=<index>`.
    """
    name = urllib.parse.quote(result["item_id"], safe="", errors="replace")
    if len(name) > _LONGEST_NAME:
        name = f"={result['index']}"
    return f"{name}.txt" if samples == 1 else f"{name}.{result['sample']}.txt"
