"""What a launcher writes: KV `engines` by compare-and-set, and `assay.model.log` events."""

import time
from datetime import UTC, datetime

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from shared import subjects
from shared.contracts import EngineLines, EngineOrder, EngineState, Event, ModelStatus

OUTAGES = (NatsError, TimeoutError)
SOURCE = "/assay/launcher"


class Slot:
    """The state of one model, as this launcher writes it. Every write names the revision that it replaces, so that two launchers never both
    have an engine in hand."""

    def __init__(self, store: KeyValue, model: str, launcher: str) -> None:
        self._store = store
        self._key = subjects.engine_state(model)
        self._launcher = launcher
        self._revision: int | None = None

    async def claim(self, seen: EngineState | None, state: EngineState) -> bool:
        """Take it in hand, if its state is still the one that was seen (None: there was none). Raises an outage."""
        try:
            entry = await self._store.get(self._key)
        except KeyNotFoundError:
            entry = None
        if entry is not None and (seen is None or EngineState.model_validate_json(entry.value or b"") != seen):
            return False
        try:
            if entry is None:
                self._revision = await self._store.create(self._key, state.model_dump_json().encode())
            else:
                self._revision = await self._store.update(
                    self._key, state.model_dump_json().encode(), last=entry.revision
                )
        except KeyWrongLastSequenceError:
            return False
        return True

    async def write(self, state: EngineState) -> bool:
        """False where another launcher has taken it over. Raises an outage, and may be tried again then."""
        payload = state.model_dump_json().encode()
        try:
            self._revision = await self._store.update(self._key, payload, last=self._revision)
        except KeyWrongLastSequenceError:
            # Also after a write whose acknowledgement was lost.
            try:
                entry = await self._store.get(self._key)
            except KeyNotFoundError:
                return False
            if EngineState.model_validate_json(entry.value or b"").launcher != self._launcher:
                return False
            self._revision = await self._store.update(self._key, payload, last=entry.revision)
        return True


async def put_lines(store: KeyValue, model: str, lines: list[str]) -> None:
    await store.put(subjects.engine_log(model), EngineLines(lines=lines).model_dump_json().encode())


async def forget(store: KeyValue, model: str) -> None:
    for key in (subjects.engine_state(model), subjects.engine_log(model)):
        await store.delete(key)


async def publish_lines(js: JetStreamContext, order: EngineOrder, number: str, lines: list[str]) -> None:
    """`assay.model.log`: lines as they came. `number` tells them from the model's other lines."""
    event = Event(
        id=f"{order.model}:log:{number}",
        source=SOURCE,
        type="assay.model.log",
        subject=f"models/{order.model}",
        time=datetime.now(UTC),
        data={
            "model": order.model,
            "name": order.model_name,
            "lines": lines,
            "level": "info",
            "message": f"{order.model_name}: {lines[-1]}",
        },
    )
    await js.publish(
        subjects.event("_", event.type), event.model_dump_json().encode(), headers={"Nats-Msg-Id": event.id}
    )


def first_state(order: EngineOrder, launcher: str | None, detail: str, seen: EngineState | None) -> EngineState:
    """`starting`, since when it was first said."""
    waited = seen is not None and seen.status is ModelStatus.STARTING and seen.request == order.request
    now = time.time()
    return EngineState(
        model=order.model,
        status=ModelStatus.STARTING,
        detail=detail,
        since=seen.since if seen and waited else now,
        at=now,
        request=order.request,
        launcher=launcher,
    )
