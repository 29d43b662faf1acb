"""What every command shares: where the gateway is, the two consoles, and how mistakes end."""

import errno
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import httpx
import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from typer.core import TyperGroup

from assay.aio import AsyncClient
from assay.calls import BACKOFF_S
from assay.client import Client
from assay.errors import ApiError, AssayError, FieldError, InvalidInput, TimedOut, Unauthorized
from assay.render import plain
from shared.errors import Problem

FAILED, REFUSED, UNAVAILABLE, INTERRUPTED = 1, 3, 4, 130
"""Exit codes beside 0 and typer's own 2; `assay --help` explains them."""

WIDE = 160
"""Columns of a table that goes to a file or a pipe, where nothing has to fit a screen."""

_LINE = re.compile(r"(?:line|row) (\d+)(?:, column \d+)?: ")

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


def console(stderr: bool) -> Console:
    """Plain text only: names and answers hold brackets that are no markup."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


@dataclass
class Session:
    """`out` is for what was asked for, `err` for what is said about it. `transport` replaces the network, for tests."""

    url: str | None = None
    api_key: str | None = None
    json: bool = False
    transport: httpx.MockTransport | None = None
    backoff: Sequence[float] = BACKOFF_S
    out: Console = field(default_factory=lambda: console(stderr=False))
    err: Console = field(default_factory=lambda: console(stderr=True))

    def client(self) -> Client:
        return Client(self.url, self.api_key, transport=self.transport, backoff=self.backoff)

    def async_client(self) -> AsyncClient:
        return AsyncClient(self.url, self.api_key, transport=self.transport, backoff=self.backoff)

    def document(self, value: Any) -> None:
        """One JSON document on stdout."""
        typer.echo(json.dumps(to_jsonable_python(value), indent=2, ensure_ascii=False))

    def line(self, value: Any) -> None:
        """One line of JSON on stdout, at once."""
        typer.echo(json.dumps(to_jsonable_python(value), ensure_ascii=False))
        sys.stdout.flush()

    @property
    def talk(self) -> Console:
        """Where progress goes: stdout belongs to the document where one was asked for."""
        return self.err if self.json else self.out


def session(ctx: typer.Context, as_json: bool = False) -> Session:
    """The session of this run; `--json` is taken before and after the command's name."""
    found = ctx.find_object(Session)
    assert found is not None
    found.json = found.json or as_json
    return found


def exit_code(error: AssayError) -> int:
    """0 is success; see `assay --help`."""
    match error:
        case InvalidInput():
            return REFUSED
        case ApiError() | Problem():
            return REFUSED if 400 <= error.status < 500 else UNAVAILABLE
        case TimedOut():
            return FAILED
        case _:
            return UNAVAILABLE


def explain(error: AssayError) -> Iterable[str]:
    """The lines that a person reads: what is wrong, then one line for each place."""
    errors: list[FieldError] = getattr(error, "errors", [])
    detail = str(error)
    if isinstance(error, ApiError | Problem) and errors and all(single["msg"] in detail for single in errors):
        detail = error.title  # the lines below say the rest again
    yield f"error: {plain(detail)}"
    for single in errors:
        where, msg = located(single)
        yield f"  {plain(where)}: {plain(msg)}"
        if text := single.get("text"):
            yield f"    | {plain(text)}"
    if isinstance(error, Unauthorized):
        yield "  give a key with --api-key or in ASSAY_API_KEY"


def located(error: FieldError) -> tuple[str, str]:
    """Where an error is, and what it says without saying where: a file's line goes to its name, as compilers have it."""
    loc, msg = error["loc"], error["msg"]
    if not loc or not (found := _LINE.match(msg)):
        return place(loc), msg
    rest = loc[2:] if loc[1:2] == [int(found[1])] else loc[1:]
    return ": ".join(filter(None, (f"{loc[0]}:{found[1]}", ".".join(map(str, rest))))), msg[found.end() :]


def place(loc: list[str | int]) -> str:
    """`["bundle", "dev.jsonl", 12, "answer"]` as `dev.jsonl:12: answer`, `["body", "models", 0]` as `models.0`."""
    parts = loc[1:] if len(loc) > 1 and loc[0] in ("body", "bundle", "path", "query") else loc
    file = ""
    if parts and isinstance(parts[0], str) and "." in parts[0]:
        file, parts = parts[0], parts[1:]
        if parts and isinstance(parts[0], int):
            file, parts = f"{file}:{parts[0]}", parts[1:]
    return ": ".join(part for part in (file, ".".join(map(str, parts))) if part) or "request"


class Commands(TyperGroup):
    """The root command: a user's mistake ends in one message and an exit code, never in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except AssayError as error:
            code, lines = exit_code(error), explain(error)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            code, lines = REFUSED, [f"error: {plain(str(error))}"]
        for line in lines:
            typer.echo(line, err=True)
        raise typer.Exit(code)
