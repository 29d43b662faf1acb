"""Events as clients see them: cut and resumed, late, all at once, filtered."""

import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from shared.api import Evaluation
from tests.running import RunningStack


def socket_url(stack: RunningStack, path: str) -> str:
    return stack.url.replace("http://", "ws://") + path


def read(url: str, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Up to `limit` events, and the close code where the server closed."""
    events: list[dict[str, Any]] = []
    with connect(url, proxy=None) as socket:
        while len(events) < limit:
            try:
                events.append(json.loads(socket.recv(timeout=30)))
            except ConnectionClosed as closed:
                return events, closed.rcvd.code if closed.rcvd else None
    return events, None


@pytest.fixture(scope="module")
def models(stack: RunningStack) -> list[Any]:
    stack.push_sample_environment()
    return [stack.add_model(name, max_concurrency=8) for name in ("sample-95", "sample-80", "sample-60")]


def start(stack: RunningStack, models: list[Any], **settings: Any) -> list[Evaluation]:
    return stack.evaluate("word-problems", models, **settings)


def test_a_client_cut_every_few_messages_sees_each_event_once_in_order(stack: RunningStack, models: list[Any]) -> None:
    stack.endpoint.behave(latency_ms=15)
    evaluation = start(stack, models[:1], phase="test")[0]
    seen: list[dict[str, Any]] = []
    code = None
    while code is None:
        after = f"?after={seen[-1]['cursor']}" if seen else ""
        events, code = read(socket_url(stack, f"/v1/evaluations/{evaluation.id}/events/ws{after}"), limit=3)
        seen.extend(events)
    stack.endpoint.behave()
    assert code == 1000
    assert seen[0]["type"] == "assay.evaluation.queued"
    assert seen[-1]["type"] == "assay.evaluation.completed"
    assert len({event["id"] for event in seen}) == len(seen)
    history = list(stack.client.events.history(evaluation.id))
    assert [event["id"] for event in seen] == [event.id for event in history]
    done = [event["data"]["done"] for event in seen if event["type"] == "assay.evaluation.progress"]
    assert done == sorted(done)
    assert done[-1] == 400


def test_what_is_said_is_what_a_person_reads(stack: RunningStack, models: list[Any]) -> None:
    evaluation = stack.wait(start(stack, models[:1], phase="dev"))[0]
    events = list(stack.client.events.history(evaluation.id))
    assert evaluation.metrics is not None
    messages = [event.data.get("message", "") for event in events]
    assert "Processing: 100/100 (100%)" in messages
    correct = evaluation.metrics["correct"]
    assert f"accuracy={correct:.2f}% correct={correct}/100" in messages
    for expected in (
        "Benchmark data loaded",
        "Submission generated",
        "answers",
        "Predictions generated",
        "Files stored",
    ):
        assert any(expected in message for message in messages), expected
    for event in events:
        assert event.specversion == "1.0"
        assert event.subject == f"evaluations/{evaluation.id}"
        assert event.data["number"] == evaluation.number


def test_a_late_client_gets_the_history_then_the_rest(stack: RunningStack, models: list[Any]) -> None:
    stack.endpoint.gate(closed=True)
    evaluation = start(stack, models[:1], phase="dev")[0]
    stack.endpoint.wait(in_flight=8)
    with connect(socket_url(stack, f"/v1/evaluations/{evaluation.number}/events/ws"), proxy=None) as socket:
        events = [json.loads(socket.recv(timeout=10)) for _ in range(4)]
        assert [event["type"].rpartition(".")[2] for event in events[:2]] == ["queued", "started"]
        stack.endpoint.gate(closed=False)
        while events[-1]["type"] != "assay.evaluation.completed":
            events.append(json.loads(socket.recv(timeout=30)))
    assert [event["id"] for event in events] == [event.id for event in stack.client.events.history(evaluation.id)]


def test_the_feed_of_all_has_three_concurrent_evaluations_whole(stack: RunningStack, models: list[Any]) -> None:
    with connect(socket_url(stack, "/v1/events/ws"), proxy=None) as socket:
        evaluations = start(stack, models, phase="dev")
        wanted = {evaluation.id for evaluation in evaluations}
        seen: dict[str, list[str]] = {evaluation.id: [] for evaluation in evaluations}
        cursors: list[str] = []
        while wanted:
            event = json.loads(socket.recv(timeout=60))
            cursors.append(event["cursor"])
            scope = event["data"].get("evaluation")
            if scope in seen:
                seen[scope].append(event["id"])
                if event["type"] == "assay.evaluation.completed":
                    wanted.discard(scope)
    for evaluation in evaluations:
        assert seen[evaluation.id] == [event.id for event in stack.client.events.history(evaluation.id)]

    middle = cursors[len(cursors) // 2]
    rest, _ = read(socket_url(stack, f"/v1/events/ws?after={middle}"), limit=len(cursors) - len(cursors) // 2 - 1)
    assert [event["cursor"] for event in rest] == cursors[len(cursors) // 2 + 1 :]

    ends, _ = read(socket_url(stack, f"/v1/events/ws?after={cursors[0]}&type=assay.evaluation.completed"), limit=3)
    assert {event["data"]["evaluation"] for event in ends} == set(seen)


def test_the_same_as_server_sent_events(stack: RunningStack, models: list[Any]) -> None:
    evaluation = stack.wait(start(stack, models[:1], phase="dev", limit=5))[0]
    history = list(stack.client.events.history(evaluation.id))
    headers = {"Accept": "text/event-stream", "Last-Event-ID": history[1].cursor}
    ids, types = [], []
    with httpx.stream(
        "GET", f"{stack.url}/v1/evaluations/{evaluation.id}/events", headers=headers, timeout=30
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("id:"):
                ids.append(line[3:].strip())
            if line.startswith("event:"):
                types.append(line[6:].strip())
    assert ids == [event.cursor for event in history[2:]]
    assert types[-1] == "assay.evaluation.completed"
