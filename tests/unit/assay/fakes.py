"""A gateway as the SDK sees it: REST answers through httpx's mock transport, live events from a real websocket server on loopback."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).isoformat()

Answer = Callable[[httpx.Request], httpx.Response]


def environment(**changes: Any) -> dict[str, Any]:
    phases = [{"name": "dev", "items": 2}, {"name": "test", "items": 4}]
    return {"slug": "sums", "version": "ab" * 32, "title": "Sums", "phases": phases, "created_at": NOW, **changes}


def model(**changes: Any) -> dict[str, Any]:
    return {
        "id": "m1", "name": "alpha", "source": "running", "base_url": "http://127.0.0.1:9/v1", "model": "a",
        "max_concurrency": 16, "timeout_s": 120, "connect_timeout_s": 10, "max_attempts": 5, "status": "running",
        "created_at": NOW, **changes,
    }  # fmt: skip


def metrics(correct: int, called: int, **changes: Any) -> dict[str, Any]:
    accuracy = correct / called
    return {
        "overall_score": accuracy, "accuracy": accuracy, "accuracy_ci95": [0.1, 0.9], "answer_rate": 1.0, "coverage": 1.0,
        "correct": correct, "called": called, "items_per_s": 12.5, "latency_ms": {"p50": 20.0, "p95": 40.0},
        "duration_s": 8.0, **changes,
    }  # fmt: skip


def evaluation(**changes: Any) -> dict[str, Any]:
    return {
        "id": "e1", "number": 1, "group": "g1", "status": "completed", "model": "m1", "model_name": "alpha",
        "environment": "sums", "environment_version": "ab" * 32, "environment_title": "Sums", "phase": "dev",
        "created_at": NOW, "progress": {"done": 4, "total": 4, "correct": 3}, "metrics": metrics(3, 4), **changes,
    }  # fmt: skip


def problem(status: int, detail: str, errors: Sequence[dict[str, Any]] = ()) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "errors": list(errors)}
    return httpx.Response(status, json=body, headers={"content-type": "application/problem+json"})


def event(cursor: int, kind: str, round_: int = 0, **data: Any) -> dict[str, Any]:
    """Event `cursor` of evaluation e1; a status event has the id that architecture.md gives it."""
    final = kind in ("completed", "failed", "cancelled")
    return {
        "specversion": "1.0", "id": f"e1:{round_}:{kind}" if final else f"id-{cursor}", "source": "/assay",
        "type": f"assay.evaluation.{kind}", "subject": "evaluations/e1", "time": NOW, "datacontenttype": "application/json",
        "data": {"evaluation": "e1", "number": 1, "model_name": "alpha", **data}, "cursor": str(cursor),
    }  # fmt: skip


@dataclass
class Gateway:
    """Answers `METHOD /path` (below `/v1`) in the order given, the last answer again and again; keeps the requests."""

    answers: dict[str, list[Any]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def on(self, route: str, *answers: Any) -> "Gateway":
        """An answer is a JSON value, a response, a function of the request, or an exception to raise."""
        self.answers[route] = list(answers)
        return self

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def sent(self, route: str) -> list[httpx.Request]:
        return [request for request in self.requests if _route(request) == route]

    def body(self, route: str) -> Any:
        return json.loads(self.sent(route)[-1].content)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        waiting = self.answers.get(_route(request))
        if not waiting:
            return problem(404, f"nothing at {_route(request)}")
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def _route(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path.removeprefix('/v1')}"


def page(*items: Any, following: str | None = None) -> dict[str, Any]:
    return {"items": list(items), "next": following}


@dataclass(frozen=True)
class Session:
    """What one websocket connection gets: so many events after its cursor, then a close code (None: the line goes dead)."""

    events: int = 1000
    close: int | None = 1000
    refuse: int | None = None
    """An HTTP status in place of the connection."""
    stay: bool = False
    """Neither says more nor closes, until the client goes."""


@dataclass
class EventServer:
    """Serves one evaluation's log, a session a connection; the last session again and again."""

    url: str
    afters: list[str | None]


@contextmanager
def event_server(log: Sequence[dict[str, Any]], *sessions: Session) -> Iterator[EventServer]:
    afters: list[str | None] = []

    def current() -> Session:
        return sessions[min(len(afters), len(sessions)) - 1]

    def handshake(connection: ServerConnection, request: Request) -> Response | None:
        afters.append(parse_qs(urlsplit(request.path).query).get("after", [None])[0])
        refusal = current().refuse
        return None if refusal is None else connection.respond(refusal, "no")

    def handle(connection: ServerConnection) -> None:
        session = current()
        after = int(afters[-1] or 0)
        for sent in [found for found in log if int(found["cursor"]) > after][: session.events]:
            connection.send(json.dumps(sent))
        if session.stay:
            try:
                connection.recv()
            except ConnectionClosed:
                return
        elif session.close is None:
            connection.socket.shutdown(2)
        else:
            connection.close(session.close, "because")

    with serve(handle, "127.0.0.1", 0, process_request=handshake) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            host, port = server.socket.getsockname()[:2]
            yield EventServer(f"http://{host}:{port}", afters)
        finally:
            server.shutdown()
            thread.join()
