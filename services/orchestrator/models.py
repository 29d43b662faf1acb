"""The registry of models: documents in MongoDB, what predictors need in KV `models`, a consumer each, and probes."""

import contextlib
import logging
from collections.abc import Collection

from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.orchestrator import broker
from services.orchestrator.addresses import check_base_url
from services.orchestrator.pacing import Pacing, first_state, mirrored
from services.orchestrator.state import now
from shared import subjects
from shared.contracts import ACTIVE, ModelEndpoint, ModelStatus, ProbeAnswer
from shared.errors import Conflict, NotFound, Unavailable
from shared.networks import Networks
from shared.provision import ensure_consumer, mend_consumer, model_consumer
from shared.service import call
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

PROBE_S = 3.2
"""For a probe that a person waits for: registering answers within 5 s, of which a name that does not resolve may take one."""
REPLY_S = 0.4

NOT_ASKED = frozenset({ModelStatus.STARTING, ModelStatus.STOPPED, ModelStatus.FAILED})
"""Of a model whose engine is not up nobody is there to be asked."""


class Models:
    """Registers, changes and probes models."""

    def __init__(
        self, database: Database, broker: NatsBroker, js: JetStreamContext, pacing: Pacing, networks: Networks
    ) -> None:
        self._models = database["models"]
        self._evaluations = database["evaluations"]
        self._broker = broker
        self._js = js
        self._pacing = pacing
        self._networks = networks

    async def create(self, fields: Document, model_id: str) -> Document:
        """Register; the answer says what a first probe found, and comes whatever the endpoint does."""
        base_url = await check_base_url(fields["base_url"], self._networks)
        document: Document = {**fields, "_id": model_id, "base_url": base_url, "created_at": now()}
        document.update(mirrored(first_state(_endpoint(document), await self._ask(document))))
        await self._models.replace_one({"_id": model_id}, document, upsert=True)
        await self._pacing.tell(model_id)
        await self.publish(document)
        return document

    async def get(self, model_id: str) -> Document:
        document = await self._models.find_one({"_id": model_id})
        if document is None:
            raise NotFound(f"there is no model {model_id}")
        return document

    async def update(self, model_id: str, changes: Document) -> Document:
        document = await self.get(model_id)
        if "base_url" in changes:
            changes["base_url"] = await check_base_url(changes["base_url"], self._networks)
        document.update(changes)
        if changes.keys() & {"base_url", "api_key", "model", "api"}:
            changes |= mirrored(await self._pacing.found(_endpoint(document), await self._ask(document)))
            document.update(changes)
        await self._models.update_one({"_id": model_id}, {"$set": changes})
        await self.publish(document)
        return document

    async def delete(self, model_id: str) -> None:
        """Refused while an evaluation of it, or one that it judges, is under way."""
        document = await self.get(model_id)
        needing = {"$or": [{"model": model_id}, {"judge": model_id}], "status": {"$in": ACTIVE}}
        at_work = await self._evaluations.find_one(needing, {"number": 1, "model": 1})
        if at_work:
            needs = "of" if at_work["model"] == model_id else "judged by"
            number = at_work["number"]
            raise Conflict(f"evaluation #{number} {needs} model {document['name']} is under way; cancel it first")
        store = await self._js.key_value(subjects.KV_MODELS)
        await store.delete(model_id)
        await self._pacing.forget(model_id)
        with contextlib.suppress(NotFoundError):
            await self._js.delete_consumer(subjects.JOBS, subjects.model_consumer(model_id))
        # What was cancelled just now may still have jobs for it, which nobody would take any more.
        while positions := await broker.left(self._js, subjects.JOBS, subjects.model_jobs(model_id)):
            await broker.delete(self._js, subjects.JOBS, positions)
        await self._models.delete_one({"_id": model_id})

    async def probe(self, model_id: str) -> Document:
        """Ask a predictor to ask the endpoint now; the status follows the answer."""
        document = await self.get(model_id)
        if document["status"] in NOT_ASKED:
            raise Conflict(
                f"model {document['name']} is {document['status']}: its engine has to run before it is asked"
            )
        found = mirrored(await self._pacing.found(_endpoint(document), await self._ask(document)))
        await self._models.update_one({"_id": model_id}, {"$set": found})
        return document | found

    async def ask_soon(self, model_ids: Collection[str]) -> None:
        """Evaluations wait for these models: those that are unreachable are asked again at once, and as often as at first."""
        for model_id in model_ids:
            await self._pacing.ask_soon(model_id)

    async def concurrency(self, model_id: str) -> int:
        """Calls at once that the model may have at present."""
        limit = self._pacing.limit(model_id)
        return limit if limit is not None else _endpoint(await self.get(model_id)).first_limit

    async def publish(self, document: Document) -> None:
        """Let predictors know: first the consumer they pull from, whether they may, then the settings they pull with.

        The consumer's `max_ack_pending` is provisioned once; after that its controller writes it, which learns of a change here.
        """
        endpoint = _endpoint(document)
        await ensure_consumer(
            self._js, subjects.JOBS, model_consumer(endpoint.id, endpoint.first_limit), keep_max_ack_pending=True
        )
        known = ProbeAnswer(status=document["status"], detail=document["status_detail"])
        await self._pacing.ensure(endpoint, first_state(endpoint, known))
        store = await self._js.key_value(subjects.KV_MODELS)
        await store.put(endpoint.id, endpoint.model_dump_json().encode())

    async def mend_waited_for(self) -> None:
        """A model that evaluations need has its consumer and its entry for predictors, whoever may have deleted them."""
        at_work = {"open": True, "status": {"$in": ["queued", "running"]}}
        needed = [
            *await self._evaluations.distinct("model", at_work),
            *await self._evaluations.distinct("judge", {**at_work, "judge": {"$ne": None}}),
        ]
        store = await self._js.key_value(subjects.KV_MODELS)
        async for document in self._models.find({"_id": {"$in": needed}}):
            try:
                await store.get(document["_id"])
                await mend_consumer(self._js, subjects.JOBS, subjects.model_consumer(document["_id"]))
            except NotFoundError:
                logger.warning("model %s was not known to the broker any more; it is again", document["_id"])
                await self.publish(document)

    async def publish_all(self) -> None:
        """At start: a broker that lost its data knows every model again."""
        async for document in self._models.find():
            await self.publish(document)

    async def _ask(self, document: Document) -> ProbeAnswer:
        body = {"endpoint": _endpoint(document).model_dump(mode="json"), "within_s": PROBE_S}
        try:
            return ProbeAnswer.model_validate(await call(self._broker, subjects.PROBE, body, timeout=PROBE_S + REPLY_S))
        except Unavailable as error:
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=f"not probed: {error.detail}")


def _endpoint(document: Document) -> ModelEndpoint:
    return ModelEndpoint(**{**document, "id": document["_id"]})


def settings_of(document: Document) -> Document:
    """A model's settings as an evaluation keeps them: what was run, and at which price, can be told later, and never its key."""
    kept = _endpoint(document).model_dump(mode="json", exclude={"api_key"})
    return kept | {"source": document["source"], "price": document.get("price")}
