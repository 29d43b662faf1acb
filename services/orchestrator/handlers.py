"""What the orchestrator does when asked, and what it does all the time: claim, renew, drive, dispatch."""

import asyncio
import contextlib
import logging
import math
import time
from typing import Any
from uuid import uuid4

from nats.aio.msg import Msg
from pymongo.errors import PyMongoError

from services.orchestrator import creation, leaderboard
from services.orchestrator.dispatch import Claim, share, window
from services.orchestrator.engines import Engines
from services.orchestrator.idempotency import Idempotency, derived_id
from services.orchestrator.listed import ListedModels
from services.orchestrator.models import Models
from services.orchestrator.platform import Platform
from services.orchestrator.run import Run, Tools
from services.orchestrator.store import RENEW_S, Store
from shared import subjects
from shared.api import EvaluationCreate, Model
from shared.contracts import ACTIVE, Landed, Note, Status
from shared.errors import Conflict, Problem
from shared.large import LargeMessages
from shared.provision import consumers, mend_consumer
from shared.publisher import Publisher
from shared.service import Service
from shared.storage.mongo import Document, in_words
from shared.views import created_view, evaluation_view, model_view

logger = logging.getLogger("assay.orchestrator")

CANCEL_WAIT_S = 5.0
GATHER_S = 0.01
MEND_S = 5.0


class Orchestrator:
    """The runs this process owns, and the commands it answers."""

    def __init__(
        self,
        service: Service,
        store: Store,
        models: Models,
        platform: Platform,
        listed: ListedModels,
        engines: Engines,
        idempotency: Idempotency,
        large: LargeMessages,
    ) -> None:
        self._service = service
        self._store = store
        self._models = models
        self._platform = platform
        self._listed = listed
        self._engines = engines
        self._idempotency = idempotency
        self._publisher = Publisher(service.nc)
        self._tools = Tools(
            service.nc, service.js, self._publisher, large, engines, service.settings.unreachable_wait_s
        )
        self._runs: dict[str, Run] = {}
        self._drives: dict[str, asyncio.Task[Any]] = {}
        self._dispatchers: dict[str, asyncio.Event] = {}
        self._claim_now = asyncio.Event()

    async def start(self) -> None:
        await self._publisher.start()

    # Commands

    async def create_evaluations(self, body: dict[str, Any]) -> Any:
        request = EvaluationCreate.model_validate(body["request"])

        async def create(key: str | None) -> Any:
            documents = await creation.create_evaluations(self._store.database, request, key)
            self._claim_now.set()
            self._ask_soon(documents)
            return created_view(documents).model_dump(mode="json")

        return await self._once(body.get("idempotency"), create)

    async def create_model(self, body: dict[str, Any]) -> Any:
        async def create(key: str | None) -> Any:
            model_id = derived_id("m", key or uuid4().hex)
            return self._view(await self._models.create(body["model"], model_id))

        return await self._once(body.get("idempotency"), create)

    async def create_listed(self, body: dict[str, Any]) -> Any:
        async def create(key: str | None) -> Any:
            named = key or uuid4().hex
            found = await self._listed.create(
                body["model"], body["names"], lambda name: derived_id("m", f"{named}:{name}")
            )
            registered, present = ([self._view(document) for document in documents] for documents in found)
            return {"registered": registered, "present": present}

        return await self._once(body.get("idempotency"), create)

    async def discover(self, body: dict[str, Any]) -> Any:
        return {"items": [server.model_dump(mode="json") for server in await self._listed.discover()]}

    async def update_model(self, body: dict[str, Any]) -> Any:
        await self._platform.check_free(body["id"])
        return self._view(await self._models.update(body["id"], body["changes"]))

    async def publish_model(self, body: dict[str, Any]) -> Any:
        return self._view(await self._platform.publish(body["id"]))

    async def withdraw_model(self, body: dict[str, Any]) -> Any:
        return self._view(await self._platform.withdraw(body["id"]))

    async def delete_model(self, body: dict[str, Any]) -> Any:
        await self._platform.check_free(body["id"])
        await self._models.delete(body["id"])
        await self._engines.forget(body["id"])
        return {}

    async def probe_model(self, body: dict[str, Any]) -> Any:
        return self._view(await self._models.probe(body["id"]))

    async def start_model(self, body: dict[str, Any]) -> Any:
        return self._view(await self._engines.start(body["id"]))

    async def stop_model(self, body: dict[str, Any]) -> Any:
        return self._view(await self._engines.stop(body["id"]))

    async def cancel(self, body: dict[str, Any]) -> Any:
        """Answers with the cancelled evaluation, or, where its owner is slow, with it as it is."""
        document = await creation.request_cancel(self._store.database, body["id"])
        if run := self._runs.get(document["_id"]):
            run.cancel()
        else:
            await self._service.nc.publish(subjects.lifecycle(document["_id"], "cancel"), b"{}")
        deadline = time.monotonic() + CANCEL_WAIT_S
        while document["status"] in ACTIVE and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            document = await creation.find_evaluation(self._store.database, document["_id"])
        if document["status"] in (Status.COMPLETED, Status.FAILED):
            raise Conflict(f"evaluation #{document['number']} was {document['status']} before it could be cancelled")
        return evaluation_view(document).model_dump(mode="json")

    async def redrive(self, body: dict[str, Any]) -> Any:
        await self._until_closed(body["id"])
        document = await creation.redrive(self._store.database, body["id"])
        self._claim_now.set()
        self._ask_soon([document])
        return evaluation_view(document).model_dump(mode="json")

    def _ask_soon(self, evaluations: list[Document]) -> None:
        """Those of their models that are unreachable may have been so for long, and be asked seldom."""
        needed = {row[who] for row in evaluations for who in ("model", "judge") if row.get(who)}
        self._service.spawn(self._models.ask_soon(needed), "asking for models soon")

    async def put_on_leaderboard(self, body: dict[str, Any]) -> Any:
        return evaluation_view(await leaderboard.put_on(self._store.database, body["id"])).model_dump(mode="json")

    async def take_off_leaderboard(self, body: dict[str, Any]) -> Any:
        return evaluation_view(await leaderboard.take_off(self._store.database, body["id"])).model_dump(mode="json")

    async def _until_closed(self, evaluation_id: str) -> None:
        """One that has just completed is closed a moment later."""
        deadline = time.monotonic() + CANCEL_WAIT_S
        while time.monotonic() < deadline:
            document = await creation.find_evaluation(self._store.database, evaluation_id)
            if document["status"] != Status.COMPLETED or not document["open"]:
                return
            await asyncio.sleep(0.05)

    async def claim_key(self, body: dict[str, Any]) -> Any:
        return {"answer": await self._idempotency.claim(body["key"], body["hash"])}

    async def finish_key(self, body: dict[str, Any]) -> Any:
        """`answer` null: the request was refused, the key is free again."""
        if body["answer"] is None:
            await self._idempotency.forget(body["key"])
        else:
            await self._idempotency.finish(body["key"], body["answer"])
        return {}

    async def _once(self, idempotency: dict[str, str] | None, create: Any) -> Any:
        if idempotency is None:
            return await create(None)
        key = idempotency["key"]
        if answer := await self._idempotency.claim(key, idempotency["hash"]):
            return answer
        try:
            answer = await create(key)
        except Problem:
            await self._idempotency.forget(key)
            raise
        await self._idempotency.finish(key, answer)
        return answer

    @staticmethod
    def _view(document: Document) -> Any:
        view: Model = model_view(document)
        return view.model_dump(mode="json")

    # Hints

    async def landed(self, message: Msg) -> None:
        hint = Landed.model_validate_json(message.data)
        if run := self._runs.get(hint.evaluation):
            run.landed(hint)
            self._dispatch(run.document["model"])

    async def noted(self, message: Msg) -> None:
        note = Note.model_validate_json(message.data)
        if run := self._runs.get(note.evaluation):
            run.note(note)

    async def stepped(self, message: Msg) -> None:
        """Any step of an evaluation: whatever it says is in MongoDB, so only wake its run."""
        _, evaluation_id, verb = message.subject.split(".")
        if run := self._runs.get(evaluation_id):
            if verb == "cancel":
                run.cancel()
            run.wake.set()

    # All the time

    async def claim(self) -> None:
        """Take what nobody holds: new evaluations, and those whose owner has died."""
        while True:
            try:
                while document := await self._store.claim():
                    self._take(document)
            except PyMongoError as error:  # away, or without room on its disk: whatever it is, this must go on
                logger.warning("cannot claim evaluations: %s", in_words(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._claim_now.wait()
            self._claim_now.clear()

    async def renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await self._store.renew({run.id: run.document["epoch"] for run in self._runs.values()})
                for evaluation_id in await self._store.cancel_requests():
                    if run := self._runs.get(evaluation_id):
                        run.cancel()
            except PyMongoError as error:  # away, or without room on its disk: whatever it is, this must go on
                logger.warning("cannot renew leases: %s", in_words(error))

    async def mend(self) -> None:
        """What evaluations need at the broker and is not there, or not as it should be, is made again."""
        while True:
            await asyncio.sleep(MEND_S)
            try:
                for stream, consumer in consumers():
                    assert consumer.durable_name
                    await mend_consumer(self._service.js, stream, consumer.durable_name)
                await self._models.mend_waited_for()
            except Exception as error:
                logger.warning("cannot see to the broker's consumers: %s", type(error).__name__)

    def _take(self, document: Document) -> None:
        if document["epoch"] > 1:
            logger.info("took over #%d (%s), epoch %d", document["number"], document["status"], document["epoch"])
        model_id = document["model"]
        run = Run(self._store, self._tools, document, lambda: self._dispatch(model_id))
        if former := self._drives.pop(run.id, None):
            # This process's own lease ran out, as when MongoDB was away: two runs would tell one evaluation's log.
            former.cancel()
        self._runs[run.id] = run
        self._drives[run.id] = self._service.spawn(self._drive(run), f"evaluation {run.id}")
        if model_id not in self._dispatchers:
            self._start_dispatching(model_id)

    async def _drive(self, run: Run) -> None:
        try:
            await run.drive()
        finally:
            if self._runs.get(run.id) is run:
                del self._runs[run.id]
                del self._drives[run.id]
            self._dispatch(run.document["model"])

    def _dispatch(self, model_id: str) -> None:
        if event := self._dispatchers.get(model_id):
            event.set()

    def _start_dispatching(self, model_id: str) -> None:
        self._dispatchers[model_id] = asyncio.Event()
        self._service.spawn(self._keep_dispatching(model_id), f"dispatch to model {model_id}")

    async def _keep_dispatching(self, model_id: str) -> None:
        """Keep the model's window full, until no evaluation of it is left."""
        wake = self._dispatchers[model_id]
        checked_at = -math.inf
        part, others_per_s = 1.0, 0.0
        try:
            while runs := [run for run in self._runs.values() if run.document["model"] == model_id]:
                try:
                    if time.monotonic() - checked_at > 1:
                        checked_at = time.monotonic()
                        part, others_per_s = await self._store.part(model_id)
                        await self._look_at_judges(runs)
                    landed_per_s = others_per_s + sum(run.rate.per_s for run in runs)
                    await self._fill(runs, window(await self._models.concurrency(model_id), landed_per_s, part))
                except Exception as error:
                    logger.warning("cannot dispatch to model %s: %s", model_id, error)
                    await asyncio.sleep(0.5)
                # A timer makes good for lost hints.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await wake.wait()
                # Hints come in bursts, and each refill has its fixed cost.
                await asyncio.sleep(GATHER_S)
                wake.clear()
        finally:
            del self._dispatchers[model_id]

    async def _look_at_judges(self, runs: list[Run]) -> None:
        for run in runs:
            if judge := run.document.get("judge"):
                await run.look_at_judge(window(await self._models.concurrency(judge), run.rate.per_s))

    async def _fill(self, runs: list[Run], size: int) -> None:
        grants = share(size, [Claim(run.outstanding, run.remaining, run.document["priority"]) for run in runs])
        await asyncio.gather(*(run.send(grant) for run, grant in zip(runs, grants, strict=True) if grant))
