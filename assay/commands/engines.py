"""`assay model start | stop | log | engines`: the engines of models that have no endpoint of their own."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from assay.commands.models import find
from assay.render import plain, short, table
from assay.session import FAILED, Json, session
from shared.api import Model
from shared.contracts import ModelStatus

FOLLOW_S = 1.0
_AT_REST = (ModelStatus.STOPPED, ModelStatus.FAILED)


def told(model: Model) -> Text:
    return Text(plain(f"{model.name}: {model.status.value} ({short(model.status_detail, 200)})"))


def added(before: Sequence[str], after: Sequence[str]) -> Sequence[str]:
    """What `after`, the last lines of a log, has beyond `before`, which were its last lines a moment ago."""
    for common in range(min(len(before), len(after)), 0, -1):
        if before[-common:] == after[:common]:
            return after[common:]
    return after


def start(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Start a model's engine; an evaluation does so by itself. `assay model log MODEL -f` shows what it says meanwhile."""
    found = session(ctx, as_json)
    with found.client() as client:
        started = client.models.start(find(client, model).id)
    if found.json:
        found.document(started)
    else:
        found.out.print(told(started), soft_wrap=True)
    if started.status is ModelStatus.FAILED:
        raise typer.Exit(FAILED)


def stop(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Stop a model's engine. Refused while an evaluation needs it."""
    found = session(ctx, as_json)
    with found.client() as client:
        stopped = client.models.stop(find(client, model).id)
    if found.json:
        found.document(stopped)
    else:
        found.out.print(told(stopped), soft_wrap=True)


def log(
    ctx: typer.Context,
    model: str,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the engine stops or fails.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a model's engine wrote last. With --follow exit 0 unless it fails."""
    found = session(ctx, as_json)
    with found.client() as client:
        wanted = find(client, model)
        shown: Sequence[str] = []
        while True:
            # In this order: what it wrote last is there once it is at rest.
            wanted = client.models.get(wanted.id)
            lines = client.models.log(wanted.id)
            for line in added(shown, lines):
                if found.json:
                    found.line({"line": line})
                else:
                    found.out.print(Text(plain(line)), soft_wrap=True)
            shown = lines
            if not follow or wanted.status in _AT_REST:
                break
            time.sleep(FOLLOW_S)
    if follow:
        found.err.print(told(wanted), soft_wrap=True)
    if follow and wanted.status is ModelStatus.FAILED:
        raise typer.Exit(FAILED)


def engines(ctx: typer.Context, as_json: Json = False) -> None:
    """List what a launcher can start a checkpoint with."""
    found = session(ctx, as_json)
    with found.client() as client:
        known = client.models.engines()
    if found.json:
        found.document(known)
        return
    rows = [(one.name, one.title, ", ".join(one.takes), one.missing or "nothing") for one in known]
    found.out.print(table(("Engine", "Title", "Takes", "Missing"), rows))


def register(app: typer.Typer) -> None:
    for command in (start, stop, log, engines):
        app.command()(command)
