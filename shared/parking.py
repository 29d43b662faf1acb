"""Parked messages: those of which there is evidence that they are themselves bad, kept with the reason in the stream PARKED.

A message is parked before it is acknowledged, so that it is always in one of the two places. Its body and its headers are kept as
they were; what is known of it beside goes into headers. A message's position in PARKED is its id for people.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from shared import subjects
from shared.api import Parked
from shared.large import HEADER, HEADROOM

PUBLISH_TIMEOUT_S = 5.0
REASON_LIMIT = 500

_SUBJECT = "Assay-Subject"
_REASON = "Assay-Reason"
_BY = "Assay-Parked-By"
_AT = "Assay-Parked-At"
_MESSAGE_ID = "Assay-Message-Id"
_CUT = "Assay-Cut"


async def park(js: JetStreamContext, message: Msg, reason: str, by: str, max_payload: int) -> None:
    """Keep a message; returns when the broker has it, and raises what nats-py raises where it has not. Then acknowledge it."""
    metadata, given = message.metadata, message.headers or {}
    headers = {
        # The same message parked again, since its acknowledgement was lost, is one.
        "Nats-Msg-Id": f"{metadata.stream}:{metadata.sequence.stream}",
        _SUBJECT: message.subject,
        _REASON: one_line(reason),
        _BY: by,
        _AT: datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    if message_id := given.get("Nats-Msg-Id"):
        headers[_MESSAGE_ID] = one_line(message_id)
    if HEADER in given:
        headers[HEADER] = given[HEADER]
    body, room = message.data, max_payload - HEADROOM
    if len(body) > room:
        body, headers[_CUT] = body[:room], "1"
    scope = subjects.evaluation_in(message.subject) or "_"
    await js.publish(subjects.parked(scope), body, timeout=PUBLISH_TIMEOUT_S, headers=headers)


async def parked(js: JetStreamContext, after: int = 0, scope: str = "*") -> AsyncIterator[tuple[Parked, RawStreamMsg]]:
    """What is parked, in the order of its positions, after one; `scope` is an evaluation's id, or `*` for all."""
    while True:
        try:
            message = await js.get_msg(subjects.PARKED, seq=after + 1, next=True, subject=subjects.parked(scope))
        except NotFoundError:
            return
        assert message.seq is not None
        after = message.seq
        yield view(message), message


def view(message: RawStreamMsg) -> Parked:
    """What a person is shown: everything but the body, which may hold test cases."""
    headers = message.headers or {}
    subject = headers.get(_SUBJECT, "")
    return Parked(
        id=str(message.seq),
        subject=subject,
        evaluation=subjects.evaluation_in(subject),
        reason=headers.get(_REASON, ""),
        parked_by=headers.get(_BY, ""),
        parked_at=headers.get(_AT) or message.time,
        message_id=headers.get(_MESSAGE_ID),
        size=len(message.data or b""),
        replayable=_CUT not in headers,
    )


def headers_again(message: RawStreamMsg) -> dict[str, str]:
    """The headers of a parked message that is published again. Its id is another: the broker may still know the first."""
    found = message.headers or {}
    again = {"Nats-Msg-Id": f"{found.get(_MESSAGE_ID, 'unknown')}:parked:{message.seq}"}
    return again | {HEADER: found[HEADER]} if HEADER in found else again


def in_short(error: ValidationError) -> str:
    """What is wrong with a message, without what is in it."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the body'}: {one['msg']}" for one in found[:3])


def one_line(text: str) -> str:
    """Text that may stand in a header: short, ASCII, without a line's end."""
    plain = " ".join(text.encode("ascii", "backslashreplace").decode().split())
    return "".join(character for character in plain if character.isprintable())[:REASON_LIMIT]
