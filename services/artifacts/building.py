"""How an evaluation's files come to be: built in a temporary folder from cursors, stored, read back, and only then recorded."""

import asyncio
import logging
import shutil
import zipfile
from collections.abc import AsyncIterator, Mapping
from importlib.metadata import version
from pathlib import Path

from services.artifacts.archives import SubmissionWriter, write_scoring_output
from services.artifacts.exports import FILE_TYPES, FileSetWriter
from shared import subjects
from shared.contracts import FileEntry, Step
from shared.errors import AssayError
from shared.faults import kill_point
from shared.service import Service
from shared.storage.mongo import Database, Document
from shared.storage.objects import Objects
from shared.views import evaluation_view
from shared.workspace import workspace

logger = logging.getLogger("assay.artifacts")

BATCH = 500

Row = tuple[Document, list[Document]]


class Building:
    def __init__(self, service: Service, database: Database, objects: Objects) -> None:
        self._service = service
        self._database = database
        self._objects = objects

    async def created(self, step: Step) -> None:
        """LIFECYCLE `created`: submission.zip."""
        if not await self._built(step, "submission"):
            evaluation = await self._evaluation(step)
            with workspace("artifacts") as folder:
                path = folder / "submission.zip"
                await self._write_submission(path, evaluation)
                files = [await self._store(step, "submission.zip", path)]
            await self._record(step, "submission", files)
        await self._say(step, "submitted")

    async def scored(self, step: Step) -> None:
        """LIFECYCLE `scored`: every other file."""
        if not await self._built(step, "files"):
            evaluation = await self._evaluation(step)
            scores = await self._database["scores"].find_one({"_id": f"{step.evaluation}:{step.round}"})
            if scores is None:
                raise AssayError(f"{step.evaluation} is said to be scored, and its scores are not there")
            with workspace("artifacts") as folder:
                paths = await self._write_files(folder, evaluation, scores["metrics"])
                if program := scores.get("output"):
                    paths |= await self._program_files(
                        folder, program, paths, hidden=bool(evaluation.get("hide_targets"))
                    )
                files = await self._store_all(step, paths)
            await self._record(step, "files", files)
            kill_point("artifacts.recorded")
        await self._say(step, "stored")

    async def refuse(self, step: Step, error: str) -> None:
        """The files cannot be built, however often one tries: the evaluation fails with the reason."""
        kind = "files" if await self._built(step, "submission") else "submission"
        await self._database["filesets"].replace_one(
            {"_id": _id(step, kind)}, {"evaluation": step.evaluation, "error": error}, upsert=True
        )

    async def _evaluation(self, step: Step) -> Document:
        document = await self._database["evaluations"].find_one({"_id": step.evaluation})
        if document is None:
            raise AssayError(f"evaluation {step.evaluation} is not there")
        return document

    async def _manifest(self, evaluation: Document) -> Document:
        environment = await self._database["environments"].find_one({"_id": evaluation["environment"]}, {"manifest": 1})
        if environment is None:
            raise AssayError(f"environment {evaluation['environment']} is not there")
        manifest: Document = environment["manifest"]
        return manifest

    async def _write_submission(self, path: Path, evaluation: Document) -> None:
        public = evaluation_view(evaluation).model_dump(mode="json")
        manifest = await self._manifest(evaluation)
        items = self._items(evaluation, {"item_id": 1, "_id": 0})
        model, judge = evaluation["model_settings"], evaluation.get("judge_settings")
        with SubmissionWriter(path, public, model, manifest, version("assay"), judge) as submission:
            while batch := await items.to_list(BATCH):
                await asyncio.to_thread(_add_ids, submission, batch)

    async def _write_files(self, folder: Path, evaluation: Document, metrics: Document) -> dict[str, Path]:
        public = evaluation_view(evaluation).model_dump(mode="json")
        hidden = bool(evaluation.get("hide_targets"))
        writer = FileSetWriter(folder, public, await self._manifest(evaluation), metrics, hide_targets=hidden)
        writing: asyncio.Task[None] | None = None
        try:
            async for batch in self._rows(evaluation):
                # While one batch is written the next one is read. In a thread: tens of thousands of rows would keep the process
                # from saying that it is alive.
                if writing:
                    await writing
                writing = asyncio.create_task(asyncio.to_thread(_add, writer, batch))
            if writing:
                await writing
            paths = dict(await asyncio.to_thread(writer.close))
        except BaseException:
            if writing:
                await asyncio.wait([writing])  # a thread cannot be stopped, and still writes into the files
            writer.discard()
            raise
        output = folder / "scoring_output.zip"
        write_scoring_output(output, metrics)
        return {**paths, "scoring_output.zip": output}

    async def _program_files(
        self, folder: Path, program: Document, ours: Mapping[str, Path], *, hidden: bool
    ) -> dict[str, Path]:
        """What a scoring program left takes the place of ours: `{key, report, dataset}`, as the scorer has checked and packed it.

        The scorer has put the archive where it is served from, and it is stored again as it is. Where targets are `hidden` its report may
        tell them, and ours stays; the archive is an admin's.
        """
        archive = folder / "program_output.zip"
        await self._objects.get_file(program["key"], archive)
        paths = {"scoring_output.zip": archive}
        for name in () if hidden else ("detailed_results.html", "dataset.jsonl"):
            entry = program["report" if name == "detailed_results.html" else "dataset"]
            if entry is not None and name in ours:
                paths[name] = folder / f"program_{name}"
                await asyncio.to_thread(_unpack, archive, entry, paths[name])
        return paths

    def _items(self, evaluation: Document, projection: Document):  # type: ignore[no-untyped-def]  # Motor's cursor has no public type
        query = {
            "environment": evaluation["environment"],
            "phase": evaluation["phase"],
            "index": {"$lt": evaluation["items"]},
        }
        return self._database["items"].find(query, projection).sort("index", 1).batch_size(BATCH)

    async def _rows(self, evaluation: Document) -> AsyncIterator[list[Row]]:
        """Each item with its results in the order of samples, in batches: two cursors in step, whatever the size."""
        width = evaluation["samples_per_item"]
        items = self._items(evaluation, {"_id": 0})
        results = (
            self._database["results"]
            .find({"evaluation": evaluation["_id"]}, {"_id": 0, "evaluation": 0, "started_at": 0, "landed_at": 0})
            .sort([("index", 1), ("sample", 1)])
            .batch_size(BATCH * width)
        )
        # Whole batches, since Motor's hop to its thread costs more than a row. Each sample has exactly one result, so the
        # cursors stay in step; the writer refuses a row that is not whole.
        while batch := await items.to_list(BATCH):
            found = await results.to_list(len(batch) * width)
            yield [(item, found[at * width : (at + 1) * width]) for at, item in enumerate(batch)]

    async def _store_all(self, step: Step, paths: Mapping[str, Path]) -> list[FileEntry]:
        """All at once: while one waits for the store, another is hashed. None is left at work when one has failed."""

        async def store(name: str) -> FileEntry:
            entry = await self._store(step, name, paths[name])
            kill_point("artifacts.between_files")
            return entry

        done = await asyncio.gather(*(store(name) for name in FILE_TYPES if name in paths), return_exceptions=True)
        files = []
        for entry in done:
            if isinstance(entry, BaseException):
                raise entry
            files.append(entry)
        return files

    async def _store(self, step: Step, name: str, path: Path) -> FileEntry:
        kind = FILE_TYPES[name]
        key = f"evaluations/{step.evaluation}/{step.round}/{name}"
        stored = await self._objects.put_file(key, path, kind.content_type)
        return FileEntry(
            name=name,
            kind=kind.kind,
            size=stored.size,
            sha256=stored.sha256,
            content_type=kind.content_type,
            key=key,
        )

    async def _built(self, step: Step, kind: str) -> bool:
        return await self._database["filesets"].find_one({"_id": _id(step, kind)}, {"_id": 1}) is not None

    async def _record(self, step: Step, kind: str, files: list[FileEntry]) -> None:
        await self._database["filesets"].replace_one(
            {"_id": _id(step, kind)},
            {"evaluation": step.evaluation, "files": [file.model_dump() for file in files]},
            upsert=True,
        )

    async def _say(self, step: Step, verb: str) -> None:
        await self._service.js.publish(
            subjects.lifecycle(step.evaluation, verb),
            step.model_dump_json().encode(),
            timeout=5,
            headers={"Nats-Msg-Id": f"{step.evaluation}:{step.round}:{verb}"},
        )


def _id(step: Step, kind: str) -> str:
    return f"{step.evaluation}:{step.round}:{kind}"


def _unpack(archive: Path, entry: str, target: Path) -> None:
    with zipfile.ZipFile(archive) as source, source.open(entry) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file)


def _add(writer: FileSetWriter, batch: list[Row]) -> None:
    for item, results in batch:
        writer.add(item, results)


def _add_ids(submission: SubmissionWriter, batch: list[Document]) -> None:
    for item in batch:
        submission.add_item_id(item["item_id"])
