"""The Hugging Face Hub on a loopback address, with what its own client asks of it to load a model.

https://huggingface.co/docs/hub/api, and for the headers of files https://huggingface.co/docs/huggingface_hub/package_reference/file_download
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

BRANCH = "main"


@dataclass(frozen=True)
class Repository:
    """A model: the files of a folder, at one commit. `token`: whose bearer alone may see it."""

    folder: Path
    token: str | None = None

    @property
    def commit(self) -> str:
        """40 hex digits, as git names one."""
        return hashlib.sha1("".join(f"{path.name} {_digest(path)}\n" for path in self.files).encode()).hexdigest()

    @property
    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    status: int
    authorized: bool
    """Whether it had a bearer token."""


@dataclass(frozen=True)
class Answer:
    status: HTTPStatus
    headers: dict[str, str]
    body: bytes = b""


class Hub:
    """`repositories` by id, such as `org/name`; `asked` are the requests, in their order."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: list[Asked] = []
        self.url = ""

    def fetched(self, repository: str) -> list[str]:
        """Which of its files were sent, once for each time."""
        begin = f"/{repository}/resolve/"
        return [
            asked.path.removeprefix(begin).partition("/")[2]
            for asked in self.asked
            if asked.method == "GET" and asked.status == HTTPStatus.OK and asked.path.startswith(begin)
        ]

    def answer(self, method: str, target: str, authorization: str | None) -> Answer:
        path = unquote(urlsplit(target).path)
        found = self._answer(path, authorization)
        self.asked.append(Asked(method, path, found.status, bool(authorization)))
        return found

    def _answer(self, path: str, authorization: str | None) -> Answer:
        name, repository = next(
            (
                (name, one)
                for name, one in self.repositories.items()
                if path.startswith((f"/api/models/{name}/", f"/{name}/")) or path == f"/api/models/{name}"
            ),
            ("", None),
        )
        if repository is None:
            return _refusal(HTTPStatus.NOT_FOUND, "RepoNotFound", "Repository not found")
        if repository.token and authorization != f"Bearer {repository.token}":
            return _refusal(
                HTTPStatus.UNAUTHORIZED,
                "GatedRepo",
                f"Access to model {name} is restricted. You must have access to it and be authenticated to access it.",
            )
        kind, _, rest = path.removeprefix("/api/models").removeprefix(f"/{name}").strip("/").partition("/")
        revision, _, file = rest.partition("/")
        if kind == "refs":
            branch = {"name": BRANCH, "ref": f"refs/heads/{BRANCH}", "targetCommit": repository.commit}
            return _json({"branches": [branch], "tags": [], "converts": []})
        if rest and revision not in (BRANCH, repository.commit):
            return _refusal(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        if kind == "resolve":
            return _file(repository, file)
        if kind == "tree":
            return _json([_listed(one) for one in repository.files])
        if kind in ("", "revision"):
            siblings = [{"rfilename": one.name} for one in repository.files]
            return _json({"id": name, "modelId": name, "sha": repository.commit, "siblings": siblings})
        return _refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", f"There is no {path}")


def _file(repository: Repository, name: str) -> Answer:
    found = next((path for path in repository.files if path.name == name), None)
    commit = {"X-Repo-Commit": repository.commit}
    if found is None:
        refused = _refusal(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
        return Answer(refused.status, refused.headers | commit)
    body = found.read_bytes()
    return Answer(HTTPStatus.OK, {**commit, "ETag": f'"{_digest(found)}"', "Content-Length": str(len(body))}, body)


def _listed(path: Path) -> dict[str, Any]:
    return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _digest(path)}


def _json(document: Any) -> Answer:
    body = json.dumps(document).encode()
    return Answer(HTTPStatus.OK, {"Content-Type": "application/json", "Content-Length": str(len(body))}, body)


def _refusal(status: HTTPStatus, code: str, message: str) -> Answer:
    return Answer(status, {"X-Error-Code": code, "X-Error-Message": message, "Content-Length": "0"})


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(body=True)

        def do_HEAD(self) -> None:
            self._send(body=False)

        def _send(self, *, body: bool) -> None:
            found = hub.answer(self.command, self.path, self.headers.get("Authorization"))
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(found.body)

        def log_message(self, format: str, *args: Any) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
