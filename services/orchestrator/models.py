"""The registry of models: documents in MongoDB, what predictors need in KV `models`, a consumer each, and probes."""

import contextlib
import logging
import time
from typing import Any
from uuid import uuid4

from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.orchestrator.addresses import check_base_url
from services.orchestrator.broker import publish_event
from services.orchestrator.state import SOURCE, now
from shared import subjects
from shared.contracts import Event, ModelEndpoint, ModelStatus, ProbeAnswer
from shared.errors import Conflict, NotFound, Unavailable
from shared.provision import ensure_consumer, model_consumer
from shared.service import call
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

PROBE_TIMEOUT_S = 4.0
PROBE_FIRST_S = 2.0
PROBE_CAP_S = 30.0


class Models:
    """Registers, changes and probes models."""

    def __init__(self, database: Database, broker: NatsBroker, js: JetStreamContext) -> None:
        self._models = database["models"]
        self._evaluations = database["evaluations"]
        self._broker = broker
        self._js = js
        self._probed: dict[str, tuple[float, float]] = {}  # model id -> (when, pause until the next)

    async def create(self, fields: Document, model_id: str) -> Document:
        """Register; the answer says what a first probe found, and comes whatever the endpoint does."""
        base_url = await check_base_url(fields["base_url"])
        document: Document = {
            **fields,
            "_id": model_id,
            "base_url": base_url,
            "status": ModelStatus.UNREACHABLE,
            "status_detail": "not probed yet",
            "status_since": now(),
            "latency_ms": None,
            "created_at": now(),
        }
        document.update(await self._ask(document))
        await self._models.replace_one({"_id": model_id}, document, upsert=True)
        await self.publish(document)
        await self._announce(document)
        return document

    async def get(self, model_id: str) -> Document:
        document = await self._models.find_one({"_id": model_id})
        if document is None:
            raise NotFound(f"there is no model {model_id}")
        return document

    async def update(self, model_id: str, changes: Document) -> Document:
        document = await self.get(model_id)
        if "base_url" in changes:
            changes["base_url"] = await check_base_url(changes["base_url"])
        document.update(changes)
        if changes.keys() & {"base_url", "api_key", "model", "api"}:
            changes |= await self._ask(document)
            document.update(changes)
        await self._models.update_one({"_id": model_id}, {"$set": changes})
        await self.publish(document)
        await self._announce(document)
        return document

    async def delete(self, model_id: str) -> None:
        """Refused while an evaluation of it is under way."""
        document = await self.get(model_id)
        at_work = await self._evaluations.find_one({"model": model_id, "open": True}, {"number": 1})
        if at_work:
            raise Conflict(f"evaluation #{at_work['number']} of model {document['name']} is under way; cancel it first")
        store = await self._js.key_value(subjects.KV_MODELS)
        await store.delete(model_id)
        with contextlib.suppress(NotFoundError):
            await self._js.delete_consumer(subjects.JOBS, subjects.model_consumer(model_id))
        await self._models.delete_one({"_id": model_id})

    async def probe(self, model_id: str) -> Document:
        """Ask a predictor to ask the endpoint now; the status follows the answer."""
        document = await self.get(model_id)
        found = await self._ask(document)
        changed = found["status"] != document["status"]
        document.update(found)
        await self._models.update_one({"_id": model_id}, {"$set": found})
        if changed:
            await self._announce(document)
        return document

    async def probe_waited_for(self) -> None:
        """Probe, with back-off, the unreachable models that evaluations wait for."""
        waiting = await self._evaluations.distinct("model", {"open": True, "status": "queued"})
        if not waiting:
            return
        query = {"_id": {"$in": waiting}, "status": ModelStatus.UNREACHABLE}
        async for row in self._models.find(query, {"_id": 1}):
            at, pause = self._probed.get(row["_id"], (0.0, PROBE_FIRST_S / 2))
            if time.monotonic() - at < pause:
                continue
            self._probed[row["_id"]] = (time.monotonic(), min(PROBE_CAP_S, pause * 2))
            document = await self.probe(row["_id"])
            if document["status"] == ModelStatus.RUNNING:
                self._probed.pop(row["_id"], None)

    async def publish(self, document: Document, *, keep_concurrency: bool = False) -> None:
        """Let predictors know: first the consumer they pull from, then the settings they pull with.

        The consumer's `max_ack_pending` is written when the model is registered or changed; at a start it is kept as it is.
        """
        await ensure_consumer(
            self._js,
            subjects.JOBS,
            model_consumer(document["_id"], document["max_concurrency"]),
            keep_max_ack_pending=keep_concurrency,
        )
        store = await self._js.key_value(subjects.KV_MODELS)
        await store.put(document["_id"], _endpoint(document).model_dump_json().encode())

    async def mend_waited_for(self) -> None:
        """A model that evaluations need has its consumer and its entry for predictors, whoever may have deleted them."""
        needed = await self._evaluations.distinct("model", {"open": True, "status": {"$in": ["queued", "running"]}})
        store = await self._js.key_value(subjects.KV_MODELS)
        async for document in self._models.find({"_id": {"$in": needed}}):
            try:
                await store.get(document["_id"])
                await self._js.consumer_info(subjects.JOBS, subjects.model_consumer(document["_id"]))
            except NotFoundError:
                logger.warning("model %s was not known to the broker any more; it is again", document["_id"])
                await self.publish(document, keep_concurrency=True)

    async def publish_all(self) -> None:
        """At start: a broker that lost its data knows every model again."""
        async for document in self._models.find():
            await self.publish(document, keep_concurrency=True)

    async def _ask(self, document: Document) -> dict[str, Any]:
        body = {"endpoint": _endpoint(document).model_dump(mode="json")}
        try:
            answer = ProbeAnswer.model_validate(await call(self._broker, subjects.PROBE, body, timeout=PROBE_TIMEOUT_S))
        except Unavailable as error:
            answer = ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=f"not probed: {error.detail}")
        found: dict[str, Any] = {
            "status": answer.status.value,
            "status_detail": answer.detail,
            "latency_ms": answer.latency_ms,
        }
        if answer.status != document["status"]:
            found["status_since"] = now()
        return found

    async def _announce(self, document: Document) -> None:
        event = Event(
            id=uuid4().hex,
            source=SOURCE,
            type="assay.model.status",
            subject=f"models/{document['_id']}",
            time=now(),
            data={
                "model": document["_id"],
                "name": document["name"],
                "status": document["status"],
                "message": f"{document['name']}: {document['status']} ({document['status_detail']})",
            },
        )
        await publish_event(self._js, event, "_")


def _endpoint(document: Document) -> ModelEndpoint:
    return ModelEndpoint(**{**document, "id": document["_id"]})


def settings_of(document: Document) -> Document:
    """A model's settings as an evaluation keeps them: what was run can be told later, and never its key."""
    return _endpoint(document).model_dump(mode="json", exclude={"api_key"}) | {
        "source": document["source"],
        "requests_per_minute": document["requests_per_minute"],
    }
