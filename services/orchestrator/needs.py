"""The models that an evaluation needs, its own and its judge: their engines are asked for, and what cannot be called is waited for."""

import time

from services.orchestrator.engines import Engines
from services.orchestrator.patience import Patience, patience
from services.orchestrator.state import now
from services.orchestrator.store import Store
from shared.storage.mongo import Document

KEEP_S = 2.0
"""How often an engine that is up is asked for again. A killed orchestrator's evaluations are taken over well before an engine's idle
time is over."""


class Needs:
    """Of one owned evaluation. `document` is the owner's, and shared with it; `wait_s` is the deployment's patience."""

    def __init__(self, store: Store, engines: Engines, document: Document, wait_s: float) -> None:
        self._store = store
        self._engines = engines
        self._document = document
        self._wait_s = wait_s
        self._kept_at = -KEEP_S

    async def look(self) -> Patience:
        """With whichever of the models there is the least left."""
        found = []
        for who in ("model", "judge"):
            if model_id := self._document.get(who):
                model = await self._store.database["models"].find_one({"_id": model_id})
                engine = None
                if model and model.get("engine"):
                    await self._ask(model)
                    engine = self._engines.seen(model_id)
                found.append(patience(model, self._document, now(), self._wait_s, who, engine))
        self._kept_at = time.monotonic()
        return max(found, key=lambda patience: (patience.failed, patience.over, patience.waits))

    async def keep(self) -> None:
        """While calls are answered: an engine that is at work is not idle."""
        if self._has_engine and time.monotonic() - self._kept_at >= KEEP_S:
            await self.look()

    @property
    def _has_engine(self) -> bool:
        kept = (self._document.get(f"{who}_settings") or {} for who in ("model", "judge"))
        return any(settings.get("engine") for settings in kept)

    async def _ask(self, model: Document) -> None:
        """Which request was made for this round is kept: when that has failed, so has the round, whoever owns it by then."""
        asked = self._document.get("engine_requests") or {}
        if asked.get("round") != self._document["round"]:
            asked = {"round": self._document["round"]}
        request = await self._engines.ask(model, asked.get(model["_id"]))
        if asked.get(model["_id"]) != request:
            await self._store.write(self._document, {"engine_requests": {**asked, model["_id"]: request}})
