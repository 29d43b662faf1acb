"""Platform models: what is published and withdrawn, by a person or by the operator's models file.

The file is the only truth about the models that it names: they cannot be changed elsewhere. It counts as a whole or not at all; while
something in it is wrong, what was read before stays, and the log says what is wrong.
"""

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any

from nats.errors import Error as NatsError
from pymongo.errors import PyMongoError

from services.orchestrator.idempotency import derived_id
from services.orchestrator.models import Models
from services.orchestrator.models_file import MAX_BYTES, PlatformModel, read_models
from services.orchestrator.state import now
from shared.contracts import ModelSource
from shared.errors import Conflict, Invalid, Problem
from shared.key_variables import KeyVariables
from shared.networks import Networks
from shared.service import until_up
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

LOOK_S = 2.0
AT_ONCE = 8
"""Models that are registered or changed at a time: each may take the seconds of a probe."""


class Platform:
    """Publishes and withdraws. `file` is None where no operator keeps one."""

    def __init__(
        self, database: Database, models: Models, file: Path | None, networks: Networks, keys: KeyVariables
    ) -> None:
        self._documents = database["models"]
        self._models = models
        self._file = file
        self._networks = networks
        self._keys = keys
        self._stat: tuple[int, ...] | None = None
        self._hash: bytes | None = None
        self._complained: str | None = None

    async def publish(self, model_id: str) -> Document:
        """Offer a model as one of the platform's, again or for the first time."""
        document = await self._free(model_id)
        return document if _is_offered(document) else await self._set(document, _offered())

    async def withdraw(self, model_id: str) -> Document:
        """Take a model out of the offer. It stays, with its evaluations; no new one of it can be started."""
        document = await self._free(model_id)
        if document.get("withdrawn_at"):
            return document
        if not document.get("published_at"):
            raise Conflict(f"model {document['name']} is not published, so it cannot be withdrawn")
        return await self._set(document, _withdrawn())

    async def check_free(self, model_id: str) -> None:
        """Raises `Conflict` for a model that the file keeps."""
        await self._free(model_id)

    async def _free(self, model_id: str) -> Document:
        document = await self._models.get(model_id)
        if document.get("kept_in_file"):
            raise Conflict(f"model {document['name']} is kept in the operator's models file; change it there")
        return document

    async def _set(self, document: Document, fields: Document) -> Document:
        await self._documents.update_one({"_id": document["_id"]}, {"$set": fields})
        return document | fields

    # The file

    async def keep(self) -> None:
        """All the time: what the file says is so. Looking at a file that has not changed costs a `stat`."""
        if self._file is None:
            kept = {"kept_in_file": True}
            await until_up(lambda: self._documents.update_many(kept, {"$set": {"kept_in_file": False}}), "MongoDB")
            return
        while True:
            try:
                await self.look(self._file)
            except (PyMongoError, NatsError, Problem, TimeoutError) as error:
                reason = error if isinstance(error, Problem) else type(error).__name__
                self._complain(f"what the models file {self._file} says cannot be stored yet: {reason}")
            await asyncio.sleep(LOOK_S)

    async def look(self, file: Path) -> None:
        """Apply what the file says, where that is other than before. What is wrong with it is logged."""
        try:
            stat = await asyncio.to_thread(file.stat)
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen == self._stat:
                return
            data = await asyncio.to_thread(_read, file)
        except OSError as error:
            self._complain(f"the models file {file} cannot be read, and what it said before stays: {error.strerror}")
            return
        if (digest := hashlib.sha256(data).digest()) != self._hash:
            try:
                wanted = await read_models(data, file.name, self._networks, self._keys)
            except Invalid as error:
                told = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors]
                self._complain(f"the models file is wrong, and what it said before stays: {'; '.join(told)}")
                self._stat = seen
                return
            await self.apply(wanted)
        self._stat, self._hash, self._complained = seen, digest, None

    async def apply(self, wanted: list[PlatformModel]) -> None:
        """Register, change, publish and withdraw until the models that the file keeps are these. Done again it changes nothing."""
        at_once = asyncio.Semaphore(AT_ONCE)

        async def one(model: PlatformModel) -> bool:
            async with at_once:
                return await self._keep_one(model)

        changed = sum(await asyncio.gather(*(one(model) for model in wanted)))
        gone = {"kept_in_file": True, "name": {"$nin": [model.name for model in wanted]}}
        withdrawn = await self._documents.update_many(gone, {"$set": {**_withdrawn(), "kept_in_file": False}})
        logger.info(
            "the models file has %d models: %d made or changed, %d withdrawn",
            len(wanted),
            changed,
            withdrawn.modified_count,
        )

    async def _keep_one(self, model: PlatformModel) -> bool:
        """Whether there was something to do."""
        fields: Document = {**model.model_dump(mode="json"), "kept_in_file": True}
        known: dict[str, Any] = {"name": model.name, "source": ModelSource.PLATFORM.value}
        document = await self._documents.find_one(known, sort=[("kept_in_file", -1), ("created_at", -1)])
        if document is None:
            model_id, document = await self._place(model.name)
            if document is None:
                await self._models.create(fields, model_id)
                return True
        changes = {name: value for name, value in fields.items() if document.get(name) != value}
        if not _is_offered(document):
            changes |= _offered()
        if changes:
            await self._models.update(document["_id"], changes)
        return bool(changes)

    async def _place(self, name: str) -> tuple[str, Document | None]:
        """The id of a model that the file names: the same for all orchestrators that read it at the same time. With the model itself, where
        another of them has made it meanwhile."""
        place = 0
        while True:
            model_id = derived_id("m", f"models file\n{name}", place)
            document = await self._documents.find_one({"_id": model_id})
            if document is None or (document["name"] == name and document.get("kept_in_file")):
                return model_id, document
            place += 1

    def _complain(self, message: str) -> None:
        """Once: it is looked at again and again."""
        if message != self._complained:
            self._complained = message
            logger.error("%s", message)


def _is_offered(document: Document) -> bool:
    return bool(document.get("published_at")) and not document.get("withdrawn_at")


def _offered() -> Document:
    return {"published_at": now(), "withdrawn_at": None}


def _withdrawn() -> Document:
    return {"published_at": None, "withdrawn_at": now()}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
