"""The registry of models: documents in MongoDB, what predictors need in KV `models`, a consumer each, and probes.

A model with an engine has no `base_url` but while that runs; `engines` says when.
"""

import contextlib
import logging
from collections.abc import Collection, Iterable

from faststream.nats import NatsBroker
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from services.orchestrator import broker
from services.orchestrator.addresses import check_base_url, same_server
from services.orchestrator.engine_states import Seen
from services.orchestrator.pacing import Pacing, first_state, mirrored
from services.orchestrator.state import now
from services.orchestrator.versions import first_version, next_version
from shared import subjects
from shared.contracts import ACTIVE, ENGINE_DOWN, ModelEndpoint, ModelSource, ModelStatus, ProbeAnswer, Status
from shared.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from shared.key_variables import KeyVariables
from shared.networks import Networks
from shared.provision import ensure_consumer, mend_consumer, model_consumer
from shared.service import call
from shared.storage.mongo import Database, Document

logger = logging.getLogger("assay.orchestrator")

PROBE_S = 3.2
"""For a probe that a person waits for: registering answers within 5 s, of which a name that does not resolve may take one."""
REPLY_S = 0.4


class Models:
    """Registers, changes and probes models."""

    def __init__(
        self,
        database: Database,
        broker: NatsBroker,
        js: JetStreamContext,
        pacing: Pacing,
        networks: Networks,
        keys: KeyVariables,
    ) -> None:
        self._models = database["models"]
        self._evaluations = database["evaluations"]
        self._broker = broker
        self._js = js
        self._pacing = pacing
        self._networks = networks
        self._keys = keys

    async def create(self, fields: Document, model_id: str) -> Document:
        """Register; the answer says what a first probe found, and comes whatever the endpoint does. An engine is not started yet."""
        self.check_key(fields)
        document: Document = {**fields, "_id": model_id, "created_at": now()}
        found = ProbeAnswer(status=ModelStatus.STOPPED, detail="not started yet")
        if not fields.get("engine"):
            document["base_url"] = await check_base_url(fields["base_url"], self._networks)
            found = await self._ask(document)
        return await self.register(document, found)

    async def register(self, document: Document, found: ProbeAnswer) -> Document:
        """A document with the fields of a `ModelCreate`, `_id` and `created_at`, of which a probe found this."""
        document |= first_version(document)
        if document["source"] == ModelSource.PLATFORM:
            document["published_at"] = document["created_at"]
        document.update(mirrored(first_state(endpoint_of(document), found)))
        await self._models.replace_one({"_id": document["_id"]}, document, upsert=True)
        await self._pacing.tell(document["_id"])
        await self.publish(document)
        return document

    async def get(self, model_id: str) -> Document:
        document = await self._models.find_one({"_id": model_id})
        if document is None:
            raise NotFound(f"there is no model {model_id}")
        return document

    async def update(self, model_id: str, changes: Document) -> Document:
        """Change what is given. What matters to answers, limits or cost makes a version of its settings."""
        document = await self.get(model_id)
        await self._check_engine(document, changes)
        if "base_url" in changes:
            changes["base_url"] = await check_base_url(changes["base_url"], self._networks)
        self.check_key(changes)
        if changes.keys() & {"api_key", "api_key_env"}:
            changes["deployment_key"] = False
        elif "base_url" in changes and document.get("deployment_key"):
            raise _wrong(
                "base_url", "the deployment's own token goes to the router alone; give the model's key with it"
            )
        elif document.get("api_key") and not same_server(changes.get("base_url"), document["base_url"]):
            raise _wrong("base_url", "leads to another server than its key was given for; give api_key too, or null")
        document.update(changes)
        asked_anew = changes.keys() & {"base_url", "api_key", "api_key_env", "model", "api"}
        if asked_anew and document["status"] not in ENGINE_DOWN:
            changes |= mirrored(await self._pacing.found(endpoint_of(document), await self._ask(document)))
        document = await self._store(model_id, changes)
        await self.publish(document)
        return document

    async def _store(self, model_id: str, changes: Document) -> Document:
        """Write changes and the version that they make, over that version alone from which it follows."""
        while True:
            document = await self.get(model_id)
            written = changes | next_version(document, document | changes, now())
            known = {"_id": model_id, "settings_version": document.get("settings_version")}
            if (await self._models.update_one(known, {"$set": written})).matched_count:
                return document | written

    def check_key(self, fields: Document) -> None:
        """Raises `Invalid` where the variable that is to hold the key may not be read."""
        name = fields.get("api_key_env")
        if name is not None and (refusal := self._keys.refusal(name)):
            error: FieldError = {"loc": ["api_key_env"], "msg": refusal}
            raise Invalid(f"api_key_env: {refusal}", [error])

    async def _check_engine(self, document: Document, changes: Document) -> None:
        """Whether what is changed fits: a model has an endpoint or an engine, and what an engine runs stays as it is while it runs."""
        name, engine = document["name"], document.get("engine")
        if engine is None and "engine" in changes:
            raise _wrong("engine", f"model {name} has an endpoint of its own; register another model for an engine")
        if engine is None:
            return
        for field in ("base_url", "api_key", "api_key_env"):
            if changes.get(field) is not None:
                raise _wrong(field, f"model {name} has an engine, whose launcher finds its address")
        if not changes.keys() & {"engine", "model"}:
            return
        if need := await self.needed_by(document["_id"]):
            raise Conflict(f"{need} needs the engine of model {name} as it is; cancel it first, or wait for its end")
        if document["status"] not in (ModelStatus.STOPPED, ModelStatus.FAILED):
            raise Conflict(f"the engine of model {name} is up; stop it first, then change its settings")

    async def needed_by(self, model_id: str) -> str | None:
        """The evaluation that has still to call a model, its own or its judge, as `evaluation #3`."""
        at_work = await self._at_work(model_id, (Status.QUEUED, Status.RUNNING))
        return f"evaluation #{at_work['number']}" if at_work else None

    async def _at_work(self, model_id: str, statuses: Iterable[Status]) -> Document | None:
        needing = {"$or": [{"model": model_id}, {"judge": model_id}], "status": {"$in": [*statuses]}}
        return await self._evaluations.find_one(needing, {"number": 1, "model": 1})

    async def delete(self, model_id: str) -> None:
        """Refused while an evaluation of it, or one that it judges, is under way."""
        document = await self.get(model_id)
        if at_work := await self._at_work(model_id, ACTIVE):
            needs = "of" if at_work["model"] == model_id else "judged by"
            number = at_work["number"]
            raise Conflict(f"evaluation #{number} {needs} model {document['name']} is under way; cancel it first")
        await self.remove(model_id)

    async def remove(self, model_id: str) -> None:
        """From wherever it is known, whoever needs it."""
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
        """Ask a predictor to ask the endpoint now; the status follows the answer. Refused where its engine is not up: nobody is there."""
        document = await self.get(model_id)
        if document["status"] in ENGINE_DOWN:
            raise Conflict(
                f"model {document['name']} is {document['status']}: its engine has to run before it is asked"
            )
        found = mirrored(await self._pacing.found(endpoint_of(document), await self._ask(document)))
        await self._models.update_one({"_id": model_id}, {"$set": found})
        return document | found

    async def ask_soon(self, model_ids: Collection[str]) -> None:
        """Evaluations wait for these models: those that are unreachable are asked again at once, and as often as at first."""
        for model_id in model_ids:
            await self._pacing.ask_soon(model_id)

    async def concurrency(self, model_id: str) -> int:
        """Calls at once that the model may have at present."""
        limit = self._pacing.limit(model_id)
        return limit if limit is not None else endpoint_of(await self.get(model_id)).first_limit

    async def publish(self, document: Document) -> None:
        """Let predictors know: first the consumer they pull from, whether they may, then the settings they pull with.

        The consumer's `max_ack_pending` is provisioned once; after that its controller writes it, which learns of a change here.
        """
        endpoint = endpoint_of(document)
        await ensure_consumer(
            self._js, subjects.JOBS, model_consumer(endpoint.id, endpoint.first_limit), keep_max_ack_pending=True
        )
        known = ProbeAnswer(status=document["status"], detail=document["status_detail"])
        await self._pacing.ensure(endpoint, first_state(endpoint, known))
        if document["base_url"]:
            store = await self._js.key_value(subjects.KV_MODELS)
            await store.put(endpoint.id, endpoint.model_dump_json().encode())

    async def follow_engine(self, model_id: str, engine: Seen) -> bool:
        """The engine of a model is so by now. First where it is called, then that it may be; False where there is no such model."""
        document = await self._models.find_one({"_id": model_id})
        if document is None:
            return False
        found = {"base_url": engine.base_url, "served_name": engine.served_name}
        if any(document.get(field) != value for field, value in found.items()):
            document |= found
            await self._models.update_one({"_id": model_id}, {"$set": found})
        if engine.base_url:
            await self.publish(document)
        await self._pacing.follow_engine(endpoint_of(document), engine.status, engine.detail)
        if engine.status in (ModelStatus.STOPPED, ModelStatus.FAILED):
            # While it only starts again, predictors hold what they have of it.
            store = await self._js.key_value(subjects.KV_MODELS)
            await store.delete(model_id)
        return True

    async def mend_waited_for(self) -> None:
        """A model that evaluations need has its consumer and its entry for predictors, whoever may have deleted them."""
        at_work = {"open": True, "status": {"$in": ["queued", "running"]}}
        needed = [
            *await self._evaluations.distinct("model", at_work),
            *await self._evaluations.distinct("judge", {**at_work, "judge": {"$ne": None}}),
        ]
        store = await self._js.key_value(subjects.KV_MODELS)
        async for document in self._models.find({"_id": {"$in": needed}, "base_url": {"$ne": None}}):
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
        body = {"endpoint": endpoint_of(document).model_dump(mode="json"), "within_s": PROBE_S}
        try:
            return ProbeAnswer.model_validate(await call(self._broker, subjects.PROBE, body, timeout=PROBE_S + REPLY_S))
        except Unavailable as error:
            return ProbeAnswer(status=ModelStatus.UNREACHABLE, detail=f"not probed: {error.detail}")


def endpoint_of(document: Document) -> ModelEndpoint:
    """As predictors know it. Where there is no address for the time being it is empty, and predictors know nothing of it. Some engines
    choose themselves what requests must call the model (`served_name`)."""
    found = {
        "id": document["_id"],
        "base_url": document["base_url"] or "",
        "model": document.get("served_name") or document["model"],
        "has_engine": document.get("engine") is not None,
    }
    return ModelEndpoint(**{**document, **found})


def settings_of(document: Document) -> Document:
    """A model's settings as an evaluation keeps them: what was run, and at which price, can be told later, and never its key.

    With an engine those are its checkpoint and arguments; where it happens to answer, and to which name, is none of them.
    """
    kept = endpoint_of(document).model_dump(mode="json", exclude={"api_key", "has_engine"})
    if engine := document.get("engine"):
        kept |= {"base_url": None, "model": document["model"], "engine": engine}
    return kept | {"source": document["source"], "price": document.get("price")}


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field}: {message}", [{"loc": [field], "msg": message}])
