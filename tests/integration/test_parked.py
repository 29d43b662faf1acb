"""Parking on a real broker: what is kept, what is shown, what replaying does."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from nats.js.errors import NotFoundError
from pydantic import SecretStr

from services.orchestrator.parked import ParkedMessages
from shared import subjects
from shared.errors import Conflict
from shared.large import HEADER, HEADROOM
from shared.parking import park, parked
from shared.settings import Settings
from tests.integration.test_gateway_api import RunningGateway, good, pages, problem


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    keys = SecretStr("viewer:v,runner:r,admin:a")
    async with RunningGateway(stores, api_keys=keys) as running:
        running.http.headers["Authorization"] = "Bearer r"
        yield running
        await running.app.state.parts.service.js.purge_stream(subjects.PARKED)


async def delivered(gateway: RunningGateway, subject: str, body: bytes, **headers: str) -> Msg:
    """The message as a consumer gets it."""
    js = gateway.app.state.parts.service.js
    position = (await js.publish(subject, body, headers=headers or None)).seq
    config = ConsumerConfig(opt_start_seq=position, deliver_policy="by_start_sequence")  # type: ignore[arg-type]
    pull = await js.pull_subscribe(subject, stream=subjects.LIFECYCLE, config=config)
    found: list[Msg] = await pull.fetch(1)
    return found[0]


async def test_what_is_parked_is_listed_with_its_reason(gateway: RunningGateway) -> None:
    js = gateway.app.state.parts.service.js
    evaluation = f"e{uuid4().hex}"
    subject = subjects.lifecycle(evaluation, "landed")
    first = await delivered(gateway, subject, b"{", **{"Nats-Msg-Id": f"{evaluation}:3:0:0:0"})
    second = await delivered(gateway, subject, b"", **{HEADER: "messages/x"})
    await park(js, first, "no JSON\nat all", "scorer", 10**6)
    await park(js, first, "no JSON\nat all", "scorer", 10**6)  # its acknowledgement was lost
    await park(js, second, "é", "predictor", 10**6)
    rows = await pages(gateway, "/v1/parked", limit=1)
    assert [(row["reason"], row["parked_by"], row["size"]) for row in rows] == [
        ("no JSON at all", "scorer", 1),
        ("\\xe9", "predictor", 0),
    ]
    assert rows[0]["subject"] == subject
    assert rows[0]["evaluation"] == evaluation
    assert rows[0]["message_id"] == f"{evaluation}:3:0:0:0"
    assert rows[0]["replayable"]
    assert rows[0]["parked_at"]

    await gateway.database["evaluations"].insert_one({"_id": evaluation, "number": 7})
    assert len(await pages(gateway, "/v1/parked", evaluation="7")) == 2
    problem(await gateway.http.get("/v1/parked?evaluation=8"), 404)
    problem(await gateway.http.get("/v1/parked?cursor=x"), 400)
    assert good(await gateway.http.get("/v1/parked?limit=1000"))["next"] is None


async def test_who_may_see_and_who_may_act(gateway: RunningGateway) -> None:
    problem(await gateway.http.get("/v1/parked", headers={"Authorization": "Bearer v"}), 403)
    problem(await gateway.http.post("/v1/parked/1/replay"), 403)
    problem(await gateway.http.delete("/v1/parked/1"), 403)
    async with gateway.owner("orchestrator.parked.discard", lambda body: {}) as asked:
        answer = await gateway.http.delete("/v1/parked/1", headers={"Authorization": "Bearer a"})
    assert answer.status_code == 204
    assert asked == [{"id": "1"}]


async def test_a_message_above_the_limit_is_kept_in_part_and_not_replayed(gateway: RunningGateway) -> None:
    js = gateway.app.state.parts.service.js
    message = await delivered(gateway, subjects.lifecycle(f"e{uuid4().hex}", "landed"), b"x" * 50_000)
    await park(js, message, "large", "scorer", HEADROOM + 10_000)
    (row,) = await pages(gateway, "/v1/parked")
    assert (row["size"], row["replayable"]) == (10_000, False)
    with pytest.raises(Conflict, match="too large to be kept whole"):
        await ParkedMessages(gateway.database, js).replay({"id": row["id"]})


@pytest.mark.parametrize(
    ("evaluation", "refusal"),
    [
        (None, "belongs to no evaluation"),
        ({"status": "completed", "round": 1}, "#7 is completed and waits for no message"),
        ({"status": "running", "round": 2}, "is not of the present round of #7"),
        ({"status": "running", "round": 1}, None),
    ],
)
async def test_a_samples_message_is_replayed_where_it_is_waited_for(
    gateway: RunningGateway, evaluation: dict[str, Any] | None, refusal: str | None
) -> None:
    js = gateway.app.state.parts.service.js
    identity = f"e{uuid4().hex}"
    subject = subjects.prediction(identity)
    if evaluation:
        await gateway.database["evaluations"].insert_one({"_id": identity, "number": 7, **evaluation})
    await js.publish(
        subjects.parked(identity),
        b"whole",
        headers={"Assay-Subject": subject, "Assay-Reason": "r", "Assay-Message-Id": f"{identity}:3:0:1:0", HEADER: "k"},
    )
    ((entry, _),) = [found async for found in parked(js, scope=identity)]
    messages = ParkedMessages(gateway.database, js)
    if refusal:
        with pytest.raises(Conflict, match=refusal):
            await messages.replay({"id": entry.id})
        assert [found async for found in parked(js, scope=identity)] != []
        await messages.discard({"id": entry.id})
    else:
        assert (await messages.replay({"id": entry.id}))["subject"] == subject
        again = await js.get_last_msg(subjects.PREDICTIONS, subject)
        assert again.data == b"whole"
        assert again.headers == {"Nats-Msg-Id": f"{identity}:3:0:1:0:parked:{entry.id}", HEADER: "k"}
        await js.delete_msg(subjects.PREDICTIONS, again.seq)
    with pytest.raises(NotFoundError):
        await js.get_last_msg(subjects.PARKED, subjects.parked(identity))
