"""How a bundle becomes an environment version: fetched, inspected, checked against its scorer, stored, announced.

Nothing can be read before the last write, the environment's own document; what a failure leaves behind are items of a
version that is not there, which the next try writes again under the same ids.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
from pymongo import ReplaceOne
from pymongo.errors import BulkWriteError

from services.artifacts.batches import from_thread, in_batches, lines_of
from services.artifacts.bundles import Bundle, Limits
from services.artifacts.datasets_server import fetch
from services.artifacts.hub_client import HubClient
from services.artifacts.inspection import inspect_bundle, inspect_import
from services.artifacts.targets import check_targets
from shared import subjects
from shared.contracts import Event
from shared.errors import Unavailable
from shared.imports import IMPORT, HuggingFaceImport
from shared.service import Service, call
from shared.storage.mongo import DUPLICATE_KEY, Database, Document
from shared.storage.objects import Objects
from shared.views import environment_detail_view
from shared.workspace import workspace

logger = logging.getLogger("assay.artifacts")

MAX_WRITE_BYTES = 16 * 1024**2
"""JSON of the items of one write, which are in memory together."""
MAX_INSPECTIONS = 2
"""At once in this process: each may take 3 GB of memory (`Limits.memory_bytes`) and a core."""

CHECK_TIMEOUT_S = 300.0
"""For some hundreds of targets. Most take no time; those that a library has to parse may each run into their limit, until 20 have."""

DEADLINE_S = 570.0
"""Below the gateway's own for this command: what was given up there must not be registered here after all."""


class Registration:
    def __init__(
        self, service: Service, database: Database, objects: Objects, hub: HubClient | None, limits: Limits
    ) -> None:
        self._service = service
        self._database = database
        self._objects = objects
        self._hub = hub
        self._limits = limits
        self._inspections = asyncio.Semaphore(MAX_INSPECTIONS)

    async def register(self, body: dict[str, Any]) -> Any:
        """Command `artifacts.environments.register` {key, filename, import?}: a staged bundle, or what is to be imported, becomes a version;
        the staged object goes. `key` is None where an import needs no file."""
        try:
            with workspace("artifacts") as folder:
                async with asyncio.timeout(DEADLINE_S):
                    return await self._register(body, folder)
        except TimeoutError as error:
            raise Unavailable(f"the bundle was not registered within {DEADLINE_S:g} s; send it again") from error
        finally:
            if body["key"] is not None:
                await self._objects.remove(body["key"])

    async def _register(self, body: dict[str, Any], folder: Path) -> Any:
        archive, out = folder / "bundle.zip", folder / "out"
        options = None if (asked := body.get("import")) is None else IMPORT.validate_python(asked)
        sent, name = None, body.get("filename", "")
        if body["key"] is not None:
            sent = archive
            await self._objects.get_file(body["key"], sent)
        elif isinstance(options, HuggingFaceImport):
            sent, name = await fetch(self._hub, options, folder, self._limits)
        out.mkdir()
        imported = None
        async with self._inspections:
            if options is None:
                bundle = await inspect_bundle(archive, out, self._limits)
            else:
                archive, bundle, imported = await inspect_import(sent, name, options, out, self._limits)
        await check_targets(bundle, out, self._ask_scorer)
        reference = f"{bundle.manifest.slug}@{bundle.version}"
        await self._objects.put_file(
            f"environments/{bundle.manifest.slug}/{bundle.version}.zip", archive, "application/zip"
        )
        for position, phase in enumerate(bundle.manifest.phases):
            lines = lines_of(out / f"items-{position}.jsonl")
            async for batch in from_thread(in_batches(lines, len, MAX_WRITE_BYTES)):
                await self._store_items(reference, phase.name, batch)
        document = _document(reference, bundle)
        document["imported"] = await self._origin(reference) if imported is None else imported.model_dump(mode="json")
        await self._database["environments"].replace_one({"_id": reference}, document, upsert=True)
        await self._announce(document)
        versions = (
            self._database["environments"]
            .find({"slug": document["slug"]}, {"version": 1, "created_at": 1})
            .sort("created_at", -1)
        )
        return environment_detail_view(document, await versions.to_list(1000)).model_dump(mode="json")

    async def _ask_scorer(self, body: dict[str, Any]) -> Any:
        command = subjects.command("scorer", "targets.check")
        return await call(self._service.broker, command, body, timeout=CHECK_TIMEOUT_S)

    async def _store_items(self, reference: str, phase: str, lines: list[bytes]) -> None:
        documents = [item_document(reference, phase, line) for line in lines]
        try:
            # A quarter of an upsert's cost; and what is there already, of an earlier try, is rarely more than nothing.
            await self._database["items"].insert_many(documents, ordered=False)
        except BulkWriteError as error:
            there = already_there(error.details)
            if there is None:
                raise
            writes = [ReplaceOne({"_id": documents[at]["_id"]}, documents[at], upsert=True) for at in there]
            await self._database["items"].bulk_write(writes, ordered=False)

    async def _origin(self, reference: str) -> Any:
        """What this very content was imported from, where it was: a bundle that is sent again as it was downloaded keeps that."""
        found = await self._database["environments"].find_one({"_id": reference}, {"imported": 1})
        return (found or {}).get("imported")

    async def _announce(self, document: Document) -> None:
        event = Event(
            id=uuid4().hex,
            source="/assay/artifacts",
            type="assay.environment.registered",
            subject=f"environments/{document['slug']}",
            time=datetime.now(UTC),
            data={
                "environment": document["slug"],
                "version": document["version"],
                "title": document["title"],
                "message": f"{document['title']}: version {document['version'][:12]} registered",
            },
        )
        await self._service.js.publish(
            subjects.event("_", event.type),
            event.model_dump_json().encode(),
            timeout=5,
            headers={"Nats-Msg-Id": event.id},
        )


def _document(reference: str, bundle: Bundle) -> Document:
    manifest = bundle.manifest
    return {
        "_id": reference,
        "slug": manifest.slug,
        "version": bundle.version,
        "title": manifest.title,
        "description": manifest.description,
        "tags": manifest.tags,
        "overview": bundle.overview,
        "manifest": manifest.model_dump(mode="json"),
        "phases": [
            {
                "name": phase.name,
                "description": phase.description,
                "items": items,
                "items_sha256": sha256,
                "start": phase.start,
                "end": phase.end,
                "max_submissions": phase.max_submissions,
                "max_submissions_per_day": phase.max_submissions_per_day,
                "execution_time_limit_s": phase.execution_time_limit_s,
                "hide_targets": phase.hide_targets,
            }
            for phase, (_, items), sha256 in zip(manifest.phases, bundle.phases, bundle.items_sha256, strict=True)
        ],
        "program": bundle.program,
        "created_at": datetime.now(UTC),
    }


def item_document(reference: str, phase: str, line: bytes) -> Document:
    """An item of MongoDB's from a line that `read_bundle` wrote; where the item was in its file is of no use from here on."""
    item = orjson.loads(line)
    del item["line"]
    return {"_id": f"{reference}:{phase}:{item['index']}", "environment": reference, "phase": phase, **item}


def already_there(details: Mapping[str, Any]) -> list[int] | None:
    """Positions of the documents that a bulk insert found present, by the details of its error; None where anything else failed."""
    errors = details.get("writeErrors") or []
    if details.get("writeConcernErrors") or any(error["code"] != DUPLICATE_KEY for error in errors):
        return None
    return [error["index"] for error in errors]
