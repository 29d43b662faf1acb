"""How a bundle becomes an environment version: fetched, inspected, checked against its scorer, stored, announced.

Nothing can be read before the last write, the environment's own document; what a failure leaves behind are items of a
version that is not there, which the next try writes again under the same ids.
"""

import json
import logging
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
from pymongo import ReplaceOne

from services.artifacts.bundles import Bundle, Limits
from services.artifacts.inspection import inspect_bundle
from shared import subjects
from shared.contracts import Event
from shared.errors import FieldError, Invalid
from shared.service import Service, call
from shared.storage.mongo import Database, Document
from shared.storage.objects import Objects
from shared.views import environment_detail_view

logger = logging.getLogger("assay.artifacts")

BATCH = 500
MAX_ERRORS = 20


class Registration:
    def __init__(self, service: Service, database: Database, objects: Objects, limits: Limits) -> None:
        self._service = service
        self._database = database
        self._objects = objects
        self._limits = limits

    async def register(self, body: dict[str, Any]) -> Any:
        """Command `artifacts.environments.register` {key}: a staged bundle becomes a version; the staged object goes."""
        try:
            with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
                return await self._register(body["key"], Path(folder))
        finally:
            await self._objects.remove(body["key"])

    async def _register(self, key: str, folder: Path) -> Any:
        archive, out = folder / "bundle.zip", folder / "out"
        await self._objects.get_file(key, archive)
        out.mkdir()
        bundle = await inspect_bundle(archive, out, self._limits)
        await self._check_targets(bundle, out)
        reference = f"{bundle.manifest.slug}@{bundle.version}"
        await self._objects.put_file(
            f"environments/{bundle.manifest.slug}/{bundle.version}.zip", archive, "application/zip"
        )
        for position, phase in enumerate(bundle.manifest.phases):
            async for batch in _batches(out / f"items-{position}.jsonl"):
                await self._store_items(reference, phase.name, batch)
        document = _document(reference, bundle)
        await self._database["environments"].replace_one({"_id": reference}, document, upsert=True)
        await self._announce(document)
        versions = (
            self._database["environments"]
            .find({"slug": document["slug"]}, {"version": 1, "created_at": 1})
            .sort("created_at", -1)
        )
        return environment_detail_view(document, await versions.to_list(1000)).model_dump(mode="json")

    async def _check_targets(self, bundle: Bundle, out: Path) -> None:
        """Ask the scorer whether it can use every target: a wrong gold answer would be a miss for every model."""
        errors: list[FieldError] = []
        scoring = bundle.manifest.scoring.model_dump(mode="json")
        for position, phase in enumerate(bundle.manifest.phases):
            async for batch in _batches(out / f"items-{position}.jsonl"):
                items = [{"target": item["target"], "hints": item["hints"]} for item in batch]
                answers = await call(
                    self._service.broker,
                    subjects.command("scorer", "targets.check"),
                    {"scoring": scoring, "items": items},
                )
                for item, answer in zip(batch, answers, strict=True):
                    if answer:
                        errors.append({"loc": [phase.data, item["index"] + 1, phase.fields.target], "msg": answer})
                if len(errors) >= MAX_ERRORS:
                    break
        if errors:
            count = len(errors)
            raise Invalid(
                f"bundle has {count} error{'s' if count > 1 else ''}: {errors[0]['msg']}", errors[:MAX_ERRORS]
            )

    async def _store_items(self, reference: str, phase: str, batch: list[Document]) -> None:
        writes = []
        for item in batch:
            key = f"{reference}:{phase}:{item['index']}"
            writes.append(ReplaceOne({"_id": key}, {"environment": reference, "phase": phase, **item}, upsert=True))
        await self._database["items"].bulk_write(writes, ordered=False)

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
    counts = dict(bundle.phases)
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
                "items": counts[phase.name],
                "start": phase.start,
                "end": phase.end,
                "max_submissions": phase.max_submissions,
            }
            for phase in manifest.phases
        ],
        "created_at": datetime.now(UTC),
    }


async def _batches(path: Path) -> AsyncIterator[list[Document]]:
    """The items of a file, in batches."""
    batch: list[Document] = []
    async with await anyio.open_file(path, encoding="utf-8") as lines:
        async for line in lines:
            batch.append(json.loads(line))
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch
