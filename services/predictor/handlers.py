"""What the predictor does when a model appears, changes or goes, and when it is asked to probe one."""

import asyncio
import itertools
import logging
import os
from typing import Any

from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from services.predictor.controller import Controller
from services.predictor.discovery import discover
from services.predictor.endpoint import Endpoint
from services.predictor.keys import KeyMissing, key_in
from services.predictor.notes import Notes
from services.predictor.probe import names_at, probe
from services.predictor.prober import Prober
from services.predictor.worker import ModelWorker
from shared import subjects
from shared.contracts import ModelEndpoint, PacingGrant, PacingHold, PacingState, dropped_up_to
from shared.large import LargeMessages
from shared.publisher import Publisher
from shared.secrets import Cipher
from shared.service import Service

logger = logging.getLogger("assay.predictor")

DRAIN_S = 8.0
"""How long calls under way may still take at a stop. The rest is handed back and called again elsewhere."""


class Predictor:
    """The workers of all models, one each."""

    def __init__(self, service: Service, cipher: "asyncio.Future[Cipher]", large: LargeMessages) -> None:
        self._service = service
        self._cipher = cipher
        self._large = large
        self.workers: dict[str, ModelWorker] = {}
        self.controllers: dict[str, Controller] = {}
        self._states: dict[str, PacingState] = {}
        self._dropped: dict[str, float] = {}  # evaluation -> up to which round its jobs are void
        self._notes = Notes()
        self._publisher = Publisher(service.nc)

    async def start(self) -> None:
        await self._publisher.start()
        self._leases: KeyValue = await self._service.js.key_value(subjects.KV_LEASES)
        self._pacing: KeyValue = await self._service.js.key_value(subjects.KV_PACING)
        self._prober = Prober(self._pacing, self.workers, self._service.settings.probe_every_s)
        await self._service.nc.subscribe(subjects.pacing_hold("*"), cb=self._held)
        await self._service.nc.subscribe(subjects.pacing_grant("*"), cb=self._granted)

    async def model_changed(self, key: str, value: bytes | None) -> None:
        """KV `models`: start, change or end a model's worker."""
        if value is None:
            worker = self.workers.pop(key, None)
            if worker:
                logger.info("model %s is gone", key)
                self._service.spawn(self.controllers.pop(key).stop(), "stopping a controller")
                self._service.spawn(worker.stop(DRAIN_S), "stopping a worker")
            return
        endpoint = await self._endpoint(ModelEndpoint.model_validate_json(value))
        worker = self.workers.get(key)
        if worker:
            worker.replace_endpoint(endpoint)
            return
        self.workers[key] = worker = ModelWorker(
            self._service.nc, self._service.js, self._publisher, endpoint, self._dropped, self._notes, self._large
        )
        await worker.start(self._states.get(key))
        self.controllers[key] = controller = Controller(
            self._service.nc, self._service.js, self._leases, self._pacing, worker, self._service.instance
        )
        controller.start()
        logger.info("working for model %s (%s)", key, endpoint.model.name)

    async def pacing_changed(self, key: str, value: bytes | None) -> None:
        """KV `pacing`: a model was paused or resumed, or its limit changed."""
        if value is None:
            self._states.pop(key, None)
            self._prober.seen(key, None)
            return
        self._states[key] = state = PacingState.model_validate_json(value)
        self._prober.seen(key, state)
        if worker := self.workers.get(key):
            await worker.apply(state)

    async def _held(self, message: Msg) -> None:
        """Another replica was told `Retry-After`."""
        if worker := self.workers.get(_model_of(message)):
            worker.gate.hold(PacingHold.model_validate_json(message.data).seconds)

    async def _granted(self, message: Msg) -> None:
        tokens = PacingGrant.model_validate_json(message.data).tokens.get(self._service.instance)
        if tokens and (worker := self.workers.get(_model_of(message))):
            worker.gate.grant(tokens)

    async def evaluation_cancelled(self, key: str, value: bytes | None) -> None:
        """KV `cancelled`: jobs of these evaluations, up to a round, are acknowledged without a call."""
        if value is None:
            self._dropped.pop(key, None)
        else:
            self._dropped[key] = dropped_up_to(value)
            for worker in self.workers.values():
                worker.given_up()

    async def probe(self, body: dict[str, Any]) -> dict[str, Any]:
        """Command `predictor.probe` {endpoint, within_s}: does it answer?"""
        endpoint = await self._endpoint(ModelEndpoint.model_validate(body["endpoint"]))
        try:
            return (await probe(endpoint, body["within_s"], complete=True)).model_dump(mode="json")
        finally:
            endpoint.close()

    async def list_models(self, body: dict[str, Any]) -> dict[str, Any]:
        """Command `predictor.models` {endpoint, within_s}: the names that it lists. Raises `Invalid` where there is no list to be had."""
        endpoint = await self._endpoint(ModelEndpoint.model_validate(body["endpoint"]))
        try:
            return {"names": await names_at(endpoint, body["within_s"])}
        finally:
            endpoint.close()

    async def discover(self, body: dict[str, Any]) -> dict[str, Any]:
        """Command `predictor.discover` {}: the servers on this machine."""
        servers = await discover(self._service.settings.networks)
        return {"servers": [server.model_dump(mode="json") for server in servers]}

    async def ask_idle(self) -> None:
        """All the time: see `Prober`."""
        await self._prober.run()

    async def tick(self) -> None:
        """In-progress acknowledgements, twice a second since `ack_wait` is short, and notes, once."""
        for turn in itertools.count():
            await asyncio.sleep(0.5)
            try:
                for worker in list(self.workers.values()):
                    await worker.keep_alive()
                if turn % 2:
                    await self._notes.flush(self._service.nc)
            except Exception as error:
                logger.warning("cannot report progress to NATS: %s", type(error).__name__)

    async def reconnected(self) -> None:
        for worker in list(self.workers.values()):
            await worker.puller.reconnected()

    async def stop(self) -> None:
        await self._prober.stop()
        await asyncio.gather(*(controller.stop() for controller in self.controllers.values()))
        await asyncio.gather(*(worker.stop(DRAIN_S) for worker in self.workers.values()))
        await self._publisher.stop()

    async def _endpoint(self, model: ModelEndpoint) -> Endpoint:
        settings = self._service.settings
        if model.api_key_env:
            try:
                key = key_in(os.environ, model.api_key_env, settings.key_names)
            except KeyMissing as missing:
                return Endpoint(model, None, settings.networks, missing.reason)
            return Endpoint(model, key, settings.networks)
        # Only a model with a key waits for the cipher, and so for the object store.
        api_key = (await asyncio.shield(self._cipher)).decrypt(model.api_key) if model.api_key else None
        return Endpoint(model, api_key, settings.networks)


def _model_of(message: Msg) -> str:
    return message.subject.split(".")[1]
