"""An engine for tests of the launcher, with the standard library alone: `tiny_engine.py PORT NAME CHECKPOINT [BEHAVIOUR...]`.

It answers `GET /v1/models`, and on request: `deaf` to SIGTERM, `forks` a process into a session of its own that is deaf too, `silent`
(never listens), `dies` before it listens, `floods` its output, `tells` its environment, `slow` to listen until the file `go` is beside
the checkpoint.
"""

import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Server(HTTPServer):
    def server_bind(self) -> None:
        # Without the look-up of its own name, which may take seconds.
        socket_ = self.socket
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        socket_.bind(self.server_address)
        self.server_name, self.server_port = "localhost", self.server_address[1]


def main(port: int, name: str, checkpoint: Path, behaviour: list[str]) -> None:
    print(f"\x1b[32mloading\x1b[0m {checkpoint}", flush=True)
    if "deaf" in behaviour:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "forks" in behaviour and os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    if "tells" in behaviour:
        for variable, value in sorted(os.environ.items()):
            print(f"{variable}={value}")
    if "floods" in behaviour:
        for number in range(4000):
            print(f"line {number}", "x" * 600)
    if "dies" in behaviour:
        print("out of memory", flush=True)
        sys.exit(3)
    if "silent" in behaviour:
        signal.pause()
    while "slow" in behaviour and not (checkpoint / "go").exists():
        time.sleep(0.02)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"object": "list", "data": [{"id": name, "object": "model"}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    print("serving", flush=True)
    Server(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
