"""Live events over a real socket that fails in every way: nothing is missed, nothing comes twice, and the end is the end."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from assay import AsyncClient, Client, ConnectionFailed, Forbidden, Gone, NotFound, TimedOut, UnexpectedAnswer
from assay.address import Address
from assay.live import RECONNECT_S, Feed, Reconnects
from tests.unit.assay.fakes import EventServer, Gateway, Session, evaluation, event, event_server, page

LOG = [event(1, "queued"), event(2, "started"), event(3, "progress"), event(4, "scored"), event(5, "completed")]
REDRIVEN = [*LOG, event(6, "started", 1), event(7, "completed", 1)]


def gateway(**state: Any) -> Gateway:
    def history(request: httpx.Request) -> httpx.Response:
        later = [found for found in REDRIVEN if int(found["cursor"]) > int(request.url.params["after"])]
        return httpx.Response(200, json=page(*(later if state.get("round") else [])))

    return Gateway().on("GET /evaluations/e1", evaluation(**state)).on("GET /evaluations/e1/events", history)


async def blocking(server: EventServer, fake: Gateway, **options: Any) -> list[str]:
    with Client(server.url, transport=fake.transport) as client:
        return [found.cursor for found in client.events("e1", **options)]


async def awaiting(server: EventServer, fake: Gateway, **options: Any) -> list[str]:
    async with AsyncClient(server.url, transport=fake.transport) as client:
        return [found.cursor async for found in client.events("e1", **options)]


both = pytest.mark.parametrize("cursors", [blocking, awaiting])
Cursors = Callable[..., Any]


@both
async def test_a_broken_connection_is_resumed_without_gap_or_repeat(cursors: Cursors) -> None:
    slow, dead, restarting, closing = Session(1, 1013), Session(1, None), Session(refuse=503), Session(1, 1000)
    with event_server(LOG, slow, dead, restarting, closing, Session(stay=True)) as server:
        assert await cursors(server, gateway()) == ["1", "2", "3", "4", "5"]
    assert server.afters == ["0", "1", "2", "2", "3"]


@both
async def test_a_replay_goes_on_past_the_end_of_an_earlier_round(cursors: Cursors) -> None:
    with event_server(REDRIVEN, Session(stay=True)) as server:
        assert await cursors(server, gateway(round=1)) == ["1", "2", "3", "4", "5", "6", "7"]


@both
async def test_a_cursor_behind_the_end_gives_nothing(cursors: Cursors) -> None:
    with event_server(LOG, Session(close=1000)) as server:
        assert await cursors(server, gateway(), after="5") == []


@both
async def test_only_wanted_types_come_and_the_end_is_seen_for_all_that(cursors: Cursors) -> None:
    with event_server(LOG, Session(stay=True)) as server:
        assert await cursors(server, gateway(), types=["assay.evaluation.scored"]) == ["4"]


@both
@pytest.mark.parametrize(
    ("session", "kind"),
    [
        (Session(0, 4410), Gone),
        (Session(0, 4404), NotFound),
        (Session(refuse=404), NotFound),
        (Session(refuse=403), Forbidden),
    ],
)
async def test_a_refusal_is_raised(cursors: Cursors, session: Session, kind: type[Exception]) -> None:
    with event_server(LOG, session) as server, pytest.raises(kind):
        await cursors(server, gateway())
    assert len(server.afters) == 1


def test_everything_is_watched_from_now_on_and_resumed_where_it_broke() -> None:
    with (
        event_server(LOG, Session(2, None), Session(stay=True)) as server,
        Client(server.url, transport=gateway().transport) as client,
    ):
        events = client.events()
        assert [next(events).cursor for _ in range(5)] == ["1", "2", "3", "4", "5"]
        events.close()
    assert server.afters == [None, "2"]


async def test_waiting_returns_the_ended_evaluation_or_says_that_it_has_not_ended() -> None:
    with event_server(LOG, Session(stay=True)) as server:
        with Client(server.url, transport=gateway().transport) as client:
            assert client.evaluations.wait("e1", timeout=30).status == "completed"
        running = gateway(status="running").transport
        with event_server(LOG[:2], Session(stay=True)) as quiet:
            with Client(quiet.url, transport=running) as client, pytest.raises(TimedOut):
                client.evaluations.wait("e1", timeout=0.05)
            async with AsyncClient(quiet.url, transport=running) as waiting:
                with pytest.raises(TimeoutError):
                    await waiting.evaluations.wait("e1", timeout=0.05)


def test_history_is_paged() -> None:
    fake = gateway().on("GET /evaluations/e1/events", page(LOG[1], following="c"), page(LOG[2]))
    with Client("http://127.0.0.1:1", transport=fake.transport) as client:
        assert [found.cursor for found in client.events.history("e1", after="1")] == ["2", "3"]
    assert [dict(request.url.params).get("cursor") for request in fake.requests] == [None, "c"]
    assert all(request.url.params["after"] == "1" for request in fake.requests)


def test_a_message_that_is_no_event_is_named() -> None:
    feed = Feed(Address("http://127.0.0.1:1"), "e1")
    with pytest.raises(UnexpectedAnswer, match="not one of Assay's events"):
        feed.take('{"hello": 1}')


def test_waits_double_and_end() -> None:
    reconnects = Reconnects("http://127.0.0.1:1")
    waits = [reconnects.lost(0) for _ in range(8)]
    assert waits[0] < 0.15
    assert 1.6 <= waits[-1] <= 2.4
    reconnects.alive()
    assert reconnects.lost(1000) < 0.15
    with pytest.raises(ConnectionFailed, match="has not answered for 60 s"):
        reconnects.lost(1000 + RECONNECT_S + 1)
