"""An endpoint with the OpenAI API whose models say what a test wants them to, and no more answers than it lets through."""

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Self

from tests.parrot import PROBE

Say = Callable[[str], str]
"""What a model says to the last message's text. Raises `Refusal`."""


class Refusal(Exception):
    """The endpoint answers with this status and body instead."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


class Puppet:
    """`with Puppet({"name": say}) as puppet: ... puppet.base_url`. Models may be added to `models` while it runs."""

    def __init__(self, models: Mapping[str, Say] | None = None) -> None:
        self.models = dict(models or {})
        self._changed = Condition()
        self._allowed: int | None = None
        self._released = 0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.puppet = self
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_all()
        self._server.shutdown()
        self._server.server_close()

    def let(self, count: int) -> None:
        """From now on only so many answers pass; calls beyond them wait."""
        with self._changed:
            self._allowed = count
            self._changed.notify_all()

    def let_all(self) -> None:
        with self._changed:
            self._allowed = None
            self._released += 1
            self._changed.notify_all()

    def answer(self, body: dict[str, Any]) -> str:
        """Waits until it may; raises `Refusal`. A probe is answered at once: it may come at any time."""
        prompt: str = body["messages"][-1]["content"]
        if body["model"] in self.models and prompt == PROBE:
            return prompt
        with self._changed:
            released = self._released
            self._changed.wait_for(lambda: self._allowed is None or self._allowed > 0 or self._released > released)
            # What was let go of does not use up what is let through afterwards.
            if self._allowed is not None and self._released == released:
                self._allowed -= 1
        say = self.models.get(body["model"])
        if say is None:
            raise Refusal(404, json.dumps({"error": {"message": f"there is no model {body['model']}"}}))
        return say(prompt)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    puppet: Puppet

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that has gone away, as with every evaluation that is cancelled, is no error of the endpoint."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._send(
            200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.server.puppet.models]}
        )

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            said = self.server.puppet.answer(body)
        except Refusal as refusal:
            self._send(refusal.status, refusal.body)
            return
        message = {"role": "assistant", "content": said}
        usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
        self._send(200, {"choices": [{"index": 0, "finish_reason": "stop", "message": message}], "usage": usage})

    def _send(self, status: int, document: Any) -> None:
        # With escapes for all but ASCII, since half a surrogate pair can be sent in no other way.
        body = (document if isinstance(document, str) else json.dumps(document)).encode(errors="replace")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
