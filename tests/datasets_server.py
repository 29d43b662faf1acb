"""A datasets server as the Hugging Face Hub's, on a loopback address: tests play the Hub, whose API is not here."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]
Answer = tuple[int, dict[str, str], bytes]


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out)
    return out.getvalue()


class Hub:
    """Datasets by name, subset and split. `as_parquet`: in so many files, 0 for none. `seen` are the requests: path and Authorization.

    `answers` are given before anything else to the paths that they are for, each once.
    """

    def __init__(self) -> None:
        self.datasets: dict[str, dict[str, dict[str, Rows]]] = {}
        self.as_parquet = 1
        self.partial = False
        self.seen: list[tuple[str, str | None]] = []
        self.answers: dict[str, list[Answer]] = {}
        self.url = ""

    def answer(self, target: str, authorization: str | None) -> Answer:
        parts = urlsplit(target)
        self.seen.append((target, authorization))
        if self.answers.get(parts.path):
            return self.answers[parts.path].pop(0)
        asked = dict(parse_qsl(parts.query))
        calls: dict[str, Callable[[dict[str, str]], Any]] = {
            "/splits": self._splits,
            "/parquet": self._files,
            "/rows": self._rows,
        }
        if parts.path.startswith("/files/"):
            return 200, {}, self._file(parts.path)
        found = calls[parts.path](asked) if asked["dataset"] in self.datasets else None
        return (404, {}, b'{"error": "no"}') if found is None else (200, {}, json.dumps(found).encode())

    def _splits(self, asked: dict[str, str]) -> Any:
        configs = self.datasets[asked["dataset"]]
        return {
            "splits": [{**asked, "config": config, "split": split} for config in configs for split in configs[config]]
        }

    def _files(self, asked: dict[str, str]) -> Any:
        if not self.as_parquet:
            return None
        files = [
            {"split": split, "url": f"{self.url}/files/{asked['dataset']}/{asked['config']}/{split}/{number}"}
            for split in self.datasets[asked["dataset"]][asked["config"]]
            for number in range(self.as_parquet)
        ]
        return {"parquet_files": files, "partial": self.partial}

    def _file(self, path: str) -> bytes:
        *dataset, config, split, number = path.removeprefix("/files/").split("/")
        rows = self.datasets["/".join(dataset)][config][split]
        size = -(-len(rows) // self.as_parquet)
        return parquet(rows[int(number) * size :][:size])

    def _rows(self, asked: dict[str, str]) -> Any:
        rows = self.datasets[asked["dataset"]][asked["config"]][asked["split"]]
        first = int(asked["offset"])
        page = [
            {"row_idx": first + at, "row": row, "truncated_cells": []}
            for at, row in enumerate(rows[first:][: int(asked["length"])])
        ]
        return {"rows": page, "num_rows_total": len(rows), "partial": self.partial}


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = hub.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
