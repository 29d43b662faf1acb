"""Parked messages, once a person has seen to their cause: sent on again, or thrown away."""

from typing import Any

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from services.orchestrator.broker import PUBLISH_TIMEOUT_S
from shared import parking, subjects
from shared.api import Parked
from shared.contracts import Status, position_in
from shared.errors import Conflict, NotFound
from shared.storage.mongo import Database


class ParkedMessages:
    def __init__(self, database: Database, js: JetStreamContext) -> None:
        self._database = database
        self._js = js

    async def replay(self, body: dict[str, Any]) -> Any:
        """Command `parked.replay` {id}: publish it again where it came from, then let go of it."""
        message, entry = await self._find(body["id"])
        if not entry.replayable:
            raise Conflict(f"parked message {entry.id} was too large to be kept whole and cannot be replayed")
        if not entry.subject.startswith("evaluations."):
            await self._check_wanted(entry)
        headers = parking.headers_again(message)
        await self._js.publish(entry.subject, message.data or b"", timeout=PUBLISH_TIMEOUT_S, headers=headers)
        await self._js.delete_msg(subjects.PARKED, int(entry.id))
        return entry.model_dump(mode="json")

    async def discard(self, body: dict[str, Any]) -> Any:
        """Command `parked.discard` {id}."""
        _, entry = await self._find(body["id"])
        await self._js.delete_msg(subjects.PARKED, int(entry.id))
        return {}

    async def _find(self, parked_id: str) -> tuple[RawStreamMsg, Parked]:
        if parked_id.isascii() and parked_id.isdecimal() and 0 < int(parked_id) < 2**63:
            try:
                message = await self._js.get_msg(subjects.PARKED, seq=int(parked_id))
            except NotFoundError:
                pass
            else:
                return message, parking.view(message)
        raise NotFound(f"there is no parked message {parked_id}")

    async def _check_wanted(self, entry: Parked) -> None:
        """A sample's message is of use only while its evaluation waits for that sample in that round."""
        evaluation = await self._database["evaluations"].find_one({"_id": entry.evaluation})
        if evaluation is None:
            raise Conflict(f"parked message {entry.id} belongs to no evaluation; discard it")
        if evaluation["status"] != Status.RUNNING:
            raise Conflict(
                f"evaluation #{evaluation['number']} is {evaluation['status']} and waits for no message; a redrive calls"
                " what ended in infra_error again"
            )
        position = position_in(entry.message_id)
        if position is None or position.round != evaluation["round"]:
            raise Conflict(
                f"parked message {entry.id} is not of the present round of #{evaluation['number']}; discard it"
            )
