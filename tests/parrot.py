"""An endpoint with the OpenAI API that says what a function makes of the prompt, of any length: the sample endpoint takes no huge prompts.

By default a prompt begins with a number and a word, and the answer is the word, after so many filling characters.
"""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

PROBE = "Hi"
"""What a model is asked when it is registered: see services/predictor/probe.py."""


def repeat(prompt: str) -> str:
    filling, word = prompt.split()[:2]
    return "x" * int(filling) + f" {word}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    say: Callable[[str], str]

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [{"id": "parrot", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        content = prompt if prompt == PROBE else type(self).say(prompt)
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
        self.answer({"choices": [choice], "usage": {"prompt_tokens": 10**30, "completion_tokens": 1}})

    def answer(self, document: Any, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Parrot:
    """`with Parrot() as parrot: ... parrot.base_url`"""

    def __init__(self, say: Callable[[str], str] = repeat, handler: type[Handler] = Handler, port: int = 0) -> None:
        saying = type("Saying", (handler,), {"say": staticmethod(say)})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), saying)
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
