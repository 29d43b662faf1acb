"""Events over a real broker: cut and resumed, late, archived, filtered, too slow, and through a killed nats-server."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.errors import Error as NatsError
from pydantic import SecretStr
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from deploy.embedded.stack import Stack
from shared import subjects
from shared.contracts import Event
from shared.settings import Settings
from tests.integration.test_gateway_api import WHEN, RunningGateway, good, problem, until

CONNECT: dict[str, Any] = {"proxy": None, "compression": None}


@pytest.fixture
async def gateway(stores: Settings) -> AsyncIterator[RunningGateway]:
    async with RunningGateway(stores) as running:
        yield running


def event(evaluation: str, kind: str, number: int = 0, round_: int = 0, **data: Any) -> Event:
    return Event(
        id=uuid4().hex,
        source="/assay/orchestrator",
        type=kind if kind.startswith("assay.") else f"assay.evaluation.{kind}",
        subject=f"evaluations/{evaluation}",
        time=WHEN,
        data={"evaluation": evaluation, "round": round_, "n": number, **data},
    )


async def publish(gateway: RunningGateway, scope: str, kind: str, number: int = 0, **data: Any) -> str:
    """Announce as an orchestrator does: again until it is acknowledged, under the same id. The event's cursor."""
    one = event(scope, kind, number, **data)
    while True:
        try:
            acknowledged = await gateway.nc.jetstream(timeout=2).publish(
                subjects.event(scope, one.type), one.model_dump_json().encode(), headers={"Nats-Msg-Id": one.id}
            )
            return str(acknowledged.seq)
        except NatsError:
            await asyncio.sleep(0.05)


def socket(gateway: RunningGateway, path: str, **more: Any) -> connect:
    return connect(f"ws://127.0.0.1:{gateway.port}/v1{path}", **{**CONNECT, **more})


async def read(connection: ClientConnection, count: int) -> list[dict[str, Any]]:
    return [one async for one in messages(connection, count)]


async def messages(connection: ClientConnection, count: int) -> AsyncIterator[dict[str, Any]]:
    async with asyncio.timeout(20):
        for _ in range(count):
            yield json.loads(await connection.recv())


async def read_to_end(connection: ClientConnection) -> tuple[list[dict[str, Any]], int, str]:
    """What comes until the server closes, and its code and reason."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        with suppress(ConnectionClosed):
            while True:
                found.append(json.loads(await connection.recv()))
    return found, connection.close_code or 0, connection.close_reason or ""


async def history(gateway: RunningGateway, evaluation: str, limit: int = 1000) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        answer = await gateway.http.get(f"/v1/evaluations/{evaluation}/events", params={"limit": limit, **query})
        if answer.status_code == 503:
            # A broker that has just come back; what a client does.
            await asyncio.sleep(int(answer.headers["retry-after"]))
            continue
        body = good(answer)
        found += body["items"]
        if body["next"] is None:
            return found
        query = {"cursor": body["next"]}


async def change(gateway: RunningGateway, evaluation: str, **changes: Any) -> None:
    await gateway.database["evaluations"].update_one({"_id": evaluation}, {"$set": changes})


async def end(gateway: RunningGateway, evaluation: str, number: int, kind: str = "completed", **data: Any) -> str:
    """As the orchestrator does it: the status with its announcement still to be made, the announcement, then nothing left."""
    await change(gateway, evaluation, status=kind, outbox=[{}])
    cursor = await publish(gateway, evaluation, kind, number, **data)
    await change(gateway, evaluation, outbox=[])
    return cursor


async def archive(gateway: RunningGateway, evaluation: str) -> None:
    """As the orchestrator does it."""
    rows = [
        {
            "_id": int(one["cursor"]),
            "evaluation": evaluation,
            "event": {name: one[name] for name in one if name != "cursor"},
        }
        for one in await history(gateway, evaluation)
    ]
    await gateway.database["events"].insert_many(rows)
    await change(gateway, evaluation, archived_to=rows[-1]["_id"])


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [one["data"]["n"] for one in events]


# An evaluation's own log


async def test_a_client_cut_again_and_again_sees_each_event_once_in_order(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")

    async def run() -> None:
        for number in range(60):
            await publish(gateway, evaluation, "progress", number)
            await publish(gateway, "eother", "progress", number)
        await end(gateway, evaluation, 60)

    running = asyncio.create_task(run())
    seen: list[dict[str, Any]] = []
    code = None
    while code is None:
        after = f"?after={seen[-1]['cursor']}" if seen else ""
        async with socket(gateway, f"/evaluations/{evaluation}/events/ws{after}") as connection:
            with suppress(ConnectionClosed):
                async for one in messages(connection, 7):
                    seen.append(one)
            code = connection.close_code
            connection.transport.abort()
    await running
    assert code == 1000
    assert numbers(seen) == list(range(61))
    assert seen == await history(gateway, evaluation, limit=8)
    assert {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data", "cursor"} == seen[
        0
    ].keys()


async def test_what_a_socket_delivered_is_in_the_history_already(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    async with socket(gateway, "/evaluations/1/events/ws") as connection:
        for number in range(10):
            await publish(gateway, evaluation, "progress", number)
            (delivered,) = await read(connection, 1)
            assert (await history(gateway, evaluation))[-1] == delivered
        last = good(await gateway.http.get(f"/v1/evaluations/1/events?after={delivered['cursor']}"))
        assert last == {"items": [], "next": None}


async def test_a_late_client_gets_the_history_then_the_rest(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    for number in range(600):
        await publish(gateway, evaluation, "progress", number)
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws?after=0") as connection:
        first = await read(connection, 600)
        await publish(gateway, evaluation, "progress", 600)
        await end(gateway, evaluation, 601)
        rest, code, _ = await read_to_end(connection)
    assert (numbers(first + rest), code) == (list(range(602)), 1000)
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws") as connection:
        again, code, _ = await read_to_end(connection)
    assert (again, code) == (first + rest, 1000)
    # Whoever has seen the end and comes back is told at once that there is no more.
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws?after={rest[-1]['cursor']}") as connection:
        assert (await read_to_end(connection))[:2] == ([], 1000)


async def test_an_archived_log_outlives_the_stream(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    for number in range(5):
        await publish(gateway, evaluation, "progress", number)
    last = await end(gateway, evaluation, 5)
    before = await history(gateway, evaluation)
    await archive(gateway, evaluation)
    assert await history(gateway, evaluation, limit=4) == before
    await gateway.nc.jetstream().purge_stream(subjects.EVENTS, seq=int(last) + 1)
    assert await history(gateway, evaluation, limit=4) == before
    async with socket(gateway, f"/evaluations/1/events/ws?after={before[1]['cursor']}") as connection:
        found, code, _ = await read_to_end(connection)
    assert (found, code) == (before[2:], 1000)


async def test_a_redriven_log_goes_on_after_its_earlier_end(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1)
    await publish(gateway, evaluation, "started", 0)
    await publish(gateway, evaluation, "completed", 1)
    await archive(gateway, evaluation)
    await gateway.database["evaluations"].update_one({"_id": evaluation}, {"$set": {"status": "running", "round": 1}})
    await publish(gateway, evaluation, "started", 2, round_=1)
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws") as connection:
        first = await read(connection, 3)
        await publish(gateway, evaluation, "progress", 3, round_=1)
        await end(gateway, evaluation, 4, round_=1)
        rest, code, _ = await read_to_end(connection)
    assert (numbers(first + rest), code) == ([0, 1, 2, 3, 4], 1000)


@pytest.mark.parametrize("kind", ["failed", "cancelled"])
async def test_a_log_also_ends_otherwise(gateway: RunningGateway, kind: str) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    async with socket(gateway, "/evaluations/1/events/ws") as connection:
        await end(gateway, evaluation, 0, kind)
        found, code, _ = await read_to_end(connection)
    assert (numbers(found), code) == ([0], 1000)


# The feed of all


async def test_the_feed_of_all_begins_now_and_can_be_resumed(gateway: RunningGateway) -> None:
    await publish(gateway, "e1", "progress", 0)
    await until(lambda: gateway.app.state.parts.feed.last)
    async with socket(gateway, "/events/ws") as connection:
        await publish(gateway, "e1", "progress", 1)
        await publish(gateway, "_", "assay.model.status", 2)
        await publish(gateway, "e2", "queued", 3)
        seen = await read(connection, 3)
    await publish(gateway, "e1", "progress", 4)
    async with socket(gateway, f"/events/ws?after={seen[0]['cursor']}") as connection:
        await publish(gateway, "e1", "progress", 5)
        rest = await read(connection, 4)
    assert numbers(seen) == [1, 2, 3]
    assert numbers(rest) == [2, 3, 4, 5]


async def test_the_feed_of_all_is_filtered(gateway: RunningGateway) -> None:
    first, second, third = [await gateway.add_evaluation(number, status="running") for number in (1, 2, 3)]

    async def say(offset: int) -> None:
        for scope, kind, number in (
            (first, "progress", 1),
            (second, "progress", 2),
            (third, "progress", 3),
            ("_", "assay.model.status", 4),
            (first, "log", 5),
            (second, "completed", 6),
        ):
            await publish(gateway, scope, kind, offset + number)

    for query, found in (
        ("", [1, 2, 3, 4, 5, 6]),
        (f"&evaluation={first}", [1, 5]),
        ("&evaluation=1,2", [1, 2, 5, 6]),
        (f"&evaluation={first}&evaluation=3", [1, 3, 5]),
        ("&type=assay.model.status", [4]),
        ("&type=assay.evaluation.log,assay.evaluation.completed", [5, 6]),
        ("&type=assay.evaluation.progress&evaluation=2", [2]),
    ):
        start = await publish(gateway, first, "queued", 0)
        await say(0)
        body = good(await gateway.http.get(f"/v1/events?after={start}{query}"))
        assert numbers(body["items"]) == found, query
        async with socket(gateway, f"/events/ws?after={start}{query}") as connection:
            assert numbers(await read(connection, len(found))) == found, query
            await say(100)
            assert numbers(await read(connection, len(found))) == [100 + number for number in found], query


async def test_the_kept_feed_is_paged(gateway: RunningGateway) -> None:
    start = await publish(gateway, "_", "assay.model.status", 0)
    for number in range(1, 8):
        await publish(gateway, "_", "assay.model.status", number)
    page = good(await gateway.http.get("/v1/events", params={"after": start, "limit": 4}))
    assert numbers(page["items"]) == [1, 2, 3, 4]
    assert page["next"] == page["items"][-1]["cursor"]
    page = good(await gateway.http.get("/v1/events", params={"after": start, "cursor": page["next"], "limit": 4}))
    assert (numbers(page["items"]), page["next"]) == ([5, 6, 7], None)


async def test_what_is_no_longer_kept_is_gone(gateway: RunningGateway) -> None:
    old = await publish(gateway, "e1", "progress", 0)
    await publish(gateway, "e1", "progress", 1)
    kept = await publish(gateway, "e1", "progress", 2)
    await gateway.nc.jetstream().purge_stream(subjects.EVENTS, seq=int(kept))
    async with socket(gateway, f"/events/ws?after={old}") as connection:
        found, code, reason = await read_to_end(connection)
    assert (found, code) == ([], 4410)
    assert old in reason
    body = problem(await gateway.http.get(f"/v1/events?after={old}"), 410)
    assert "after=0" in body["detail"]
    problem(await gateway.http.get("/v1/events", headers={"Accept": "text/event-stream", "Last-Event-ID": old}), 410)
    for after in ("0", str(int(kept) - 1)):
        async with socket(gateway, f"/events/ws?after={after}") as connection:
            assert numbers(await read(connection, 1)) == [2]


@pytest.mark.parametrize(
    ("path", "code", "word"),
    [
        ("/events/ws?after=soon", 4400, "after"),
        ("/events/ws?after=99999999999", 4400, "ahead"),
        ("/events/ws?type=assay.nope", 4422, "assay.nope"),
        ("/events/ws?evaluation=e404", 4404, "e404"),
        ("/evaluations/e404/events/ws", 4404, "e404"),
        ("/evaluations/7/events/ws?after=-1", 4400, "after"),
        ("/evaluations/7/events/ws?after=99999999999", 4400, "ahead"),
    ],
)
async def test_a_bad_socket_is_closed_with_a_reason(gateway: RunningGateway, path: str, code: int, word: str) -> None:
    await gateway.add_evaluation(7, status="running")
    async with socket(gateway, path) as connection:
        found, closed, reason = await read_to_end(connection)
    assert (found, closed) == ([], code)
    assert word in reason


# Server-Sent Events


async def sse(answer: httpx.Response, count: int | None = None) -> list[tuple[str, str, Any]]:
    """`(id, event, data)` of `count` events or of all."""
    found: list[tuple[str, str, Any]] = []
    fields: dict[str, str] = {}
    async with asyncio.timeout(20):
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
                if len(found) == count:
                    break
    return found


async def test_the_same_as_server_sent_events(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    for number in range(3):
        await publish(gateway, evaluation, "progress", number)
    path, accept = f"/v1/evaluations/{evaluation}/events", {"Accept": "text/event-stream"}
    async with gateway.http.stream("GET", path, headers=accept) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        first = await sse(answer, 3)
    await publish(gateway, evaluation, "progress", 3)
    resumed = {**accept, "Last-Event-ID": first[1][0]}
    async with gateway.http.stream("GET", f"{path}?after=0", headers=resumed) as answer:
        await end(gateway, evaluation, 4)
        rest = await sse(answer)
    assert numbers([data for _, _, data in first + rest]) == [0, 1, 2, 2, 3, 4]
    assert [kind for _, kind, _ in rest[1:]] == ["assay.evaluation.progress", "assay.evaluation.completed"]
    assert [data for _, _, data in rest] == (await history(gateway, evaluation))[2:]
    assert all(cursor == data["cursor"] for cursor, _, data in rest)
    # A browser that comes back after the end is told not to.
    answer = await gateway.http.get(path, headers={**accept, "Last-Event-ID": rest[-1][0]})
    assert answer.status_code == 204
    problem(await gateway.http.get("/v1/evaluations/e404/events", headers=accept), 404)
    problem(await gateway.http.get(f"{path}?after=soon", headers=accept), 400)


async def test_the_feed_of_all_as_server_sent_events(gateway: RunningGateway) -> None:
    query = {"type": "assay.model.status"}
    accept = {"Accept": "text/event-stream"}
    async with gateway.http.stream("GET", "/v1/events", params=query, headers=accept) as answer:
        await publish(gateway, "e1", "progress", 1)
        await publish(gateway, "_", "assay.model.status", 2)
        ((_, kind, data),) = await sse(answer, 1)
    assert (kind, data["data"]["n"]) == ("assay.model.status", 2)


# Many, slow, unknown


async def test_many_listeners_are_one_read_of_the_stream(gateway: RunningGateway) -> None:
    async def consumers() -> set[str]:
        # Names alone: the server lists a consumer that is just being deleted as null, which nats-py cannot read.
        answer = await gateway.nc.request(f"$JS.API.CONSUMER.NAMES.{subjects.EVENTS}", b"", timeout=5)
        return set(json.loads(answer.data)["consumers"] or [])

    evaluation = await gateway.add_evaluation(1, status="running")
    before = await consumers()
    sockets = [await socket(gateway, path) for path in ("/events/ws", "/evaluations/1/events/ws") * 20]
    feed = gateway.app.state.parts.feed
    await until(lambda: feed.listeners == 40)
    await publish(gateway, evaluation, "progress", 1)
    assert [numbers(await read(connection, 1)) for connection in sockets] == [[1]] * 40
    # What the history was read with is gone at once; none was added that stays.
    async with asyncio.timeout(10):
        while await consumers() - before:
            await asyncio.sleep(0.01)
    await asyncio.gather(*(connection.close() for connection in sockets))
    await until(lambda: feed.listeners == 0)


async def test_a_client_too_slow_is_closed_and_resumes(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    count, padding = 3000, "x" * 10_000
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws", max_queue=1) as connection:
        await until(lambda: gateway.app.state.parts.feed.listeners)
        js = gateway.nc.jetstream()
        for number in range(count):
            one = event(evaluation, "progress", number, padding=padding)
            await js.publish_async(subjects.event(evaluation, one.type), one.model_dump_json().encode())
        await js.publish_async_completed()
        await until(lambda: gateway.app.state.parts.feed.listeners == 0)
        seen, code, reason = await read_to_end(connection)
    assert code == 1013
    assert "resume" in reason
    assert numbers(seen) == list(range(len(seen)))
    assert len(seen) < count
    async with socket(gateway, f"/evaluations/{evaluation}/events/ws?after={seen[-1]['cursor']}") as connection:
        rest = await read(connection, count - len(seen))
    assert numbers(seen + rest) == list(range(count))


async def test_sockets_need_a_key(stores: Settings) -> None:
    async with RunningGateway(stores, api_keys=SecretStr("viewer:look")) as gateway:
        await gateway.add_evaluation(1, status="running")
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            with pytest.raises(InvalidStatus) as refused:
                await socket(gateway, "/events/ws", additional_headers=headers)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body)["status"] == 401
        async with socket(gateway, "/events/ws", additional_headers={"Authorization": "Bearer look"}) as connection:
            await publish(gateway, "e1", "progress", 1)
            assert numbers(await read(connection, 1)) == [1]
        offered = [Subprotocol("assay.events"), Subprotocol("assay.bearer.look")]
        async with socket(gateway, "/evaluations/1/events/ws", subprotocols=offered) as connection:
            assert connection.subprotocol == "assay.events"
        async with socket(gateway, "/evaluations/1/events/ws", subprotocols=offered[1:]) as connection:
            assert connection.subprotocol == "assay.bearer.look"


async def test_sockets_of_foreign_pages_are_refused(gateway: RunningGateway) -> None:
    rebound = connect(f"ws://rebound.example.org:{gateway.port}/v1/events/ws", host="127.0.0.1", **CONNECT)
    for foreign in (socket(gateway, "/events/ws", origin=Origin("https://example.org")), rebound):
        with pytest.raises(InvalidStatus) as refused:
            await foreign
        assert refused.value.response.status_code == 403
    async with socket(gateway, "/events/ws", origin=Origin(gateway.url)) as connection:
        assert await connection.ping()


async def test_a_message_that_is_no_event_stops_nothing(gateway: RunningGateway) -> None:
    evaluation = await gateway.add_evaluation(1, status="running")
    async with socket(gateway, "/evaluations/1/events/ws") as connection:
        for data in (b"nonsense", b"[]", b"{}", b'{"type": "x", "data": 3}'):
            await gateway.nc.jetstream().publish(f"events.{evaluation}.evaluation.log", data)
        await publish(gateway, evaluation, "progress", 1)
        assert numbers(await read(connection, 1)) == [1]
    assert numbers(await history(gateway, evaluation)) == [1]


async def test_sockets_and_streams_end_when_the_gateway_stops(stores: Settings) -> None:
    async with RunningGateway(stores) as gateway:
        async with (
            socket(gateway, "/events/ws") as connection,
            gateway.http.stream("GET", "/v1/events", headers={"Accept": "text/event-stream"}) as answer,
        ):
            await until(lambda: gateway.app.state.parts.feed.listeners == 2)
            gateway.server.should_exit = True
            _, code, _ = await read_to_end(connection)
            assert await sse(answer) == []
        assert code == 1012


# Kills


@pytest.fixture
def own_stores(tmp_path: Path) -> Any:
    """Stores that a test may kill; what dies is started again."""
    stack = Stack(tmp_path / "stores", services=())
    stack.up()
    yield stack
    stack.down()


async def test_a_killed_broker_costs_no_event(own_stores: Stack) -> None:
    found = own_stores.environment
    settings = Settings(
        nats_url=found["ASSAY_NATS_URL"],
        nats_token=SecretStr(found["ASSAY_NATS_TOKEN"]),
        mongo_url=SecretStr(found["ASSAY_MONGO_URL"]),
        s3_endpoint=found["ASSAY_S3_ENDPOINT"],
        s3_access_key=found["ASSAY_S3_ACCESS_KEY"],
        s3_secret_key=SecretStr(found["ASSAY_S3_SECRET_KEY"]),
    )
    async with RunningGateway(settings) as gateway:
        evaluation = await gateway.add_evaluation(1, status="running")
        said: list[str] = []
        go_on = asyncio.Event()

        async def run() -> None:
            while not go_on.is_set() or len(said) < 100:
                said.append(await publish(gateway, evaluation, "progress", len(said)))
            said.append(await end(gateway, evaluation, len(said)))

        async with (
            socket(gateway, "/events/ws") as all_of_them,
            socket(gateway, f"/evaluations/{evaluation}/events/ws") as own,
        ):
            running = asyncio.create_task(run())
            for _ in range(3):
                count = len(said)
                await until(lambda count=count: len(said) > count + 20)  # type: ignore[misc]
                pid = next(row.pid for row in own_stores.status() if row.part == "nats")
                assert pid
                os.kill(pid, signal.SIGKILL)
            go_on.set()
            seen, code, reason = await read_to_end(own)
            await running
            everything = await read(all_of_them, len(said))
        assert code == 1000, reason
        assert [one["cursor"] for one in seen] == said
        assert numbers(seen) == list(range(len(said)))
        assert everything == seen == await history(gateway, evaluation)
