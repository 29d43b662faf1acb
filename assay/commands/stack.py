"""`assay up | down | status`: the embedded stack; `assay sample-endpoint`: something to evaluate."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from assay.address import Address
from assay.errors import InvalidInput
from assay.render import duration, table
from assay.session import FAILED, UNAVAILABLE, Json, Session, session
from deploy.embedded import probes
from deploy.embedded.programs import ROOT
from deploy.embedded.stack import Stack
from shared.errors import from_validation
from shared.settings import load_settings


def embedded(found: Session) -> Stack:
    """The stack that `ASSAY_DATA`, `ASSAY_PORT` and `ASSAY_PREDICTORS` describe; by default `.assay/` in the project's folder."""
    try:
        settings = load_settings()
    except ValidationError as error:
        wrong = from_validation(error.errors(include_input=False, include_url=False), ["ASSAY_*"])
        raise InvalidInput("a setting in the environment is wrong", wrong) from None
    data = settings.data if "data" in settings.model_fields_set else ROOT / settings.data
    return Stack(
        Path(data),
        settings.port,
        settings.predictors,
        host=settings.host,
        say=lambda line: found.err.print(Text(line)),
    )


def up(ctx: typer.Context, as_json: Json = False) -> None:
    """Start the embedded stack in the background; returns when it is ready."""
    found = session(ctx, as_json)
    stack = embedded(found)
    started = stack.up()
    if found.json:
        found.document({"started": started, "url": stack.url, "data": stack.data})
        return
    found.out.print(Text(f"Assay {'is ready' if started else 'runs already'} at {stack.url}"))
    if stack.url != Address.resolve(found.url, None).url:
        found.err.print(Text(f"export ASSAY_URL={stack.url}   # for the other commands"))


def down(ctx: typer.Context, as_json: Json = False) -> None:
    """Stop the embedded stack; its data is kept."""
    found = session(ctx, as_json)
    stack = embedded(found)
    stopped = stack.down()
    if found.json:
        found.document({"stopped": stopped, "data": stack.data})
    else:
        found.out.print(Text("stopped; the data is kept" if stopped else f"no stack runs in {stack.data}"))


def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the parts of the embedded stack, and whether the gateway is ready. Exit 0 only if it is."""
    found = session(ctx, as_json)
    stack = embedded(found)
    parts = stack.status()
    url = Address.resolve(found.url, None).url if found.url or not parts else stack.url
    if parts and url != stack.url:
        parts = []
    missing = probes.gateway(url)
    if found.json:
        found.document({"ready": missing is None, "url": url, "missing": missing, "parts": [asdict(p) for p in parts]})
    else:
        if parts:
            rows = [(p.part, p.state, p.pid or "-", duration(p.uptime_s), p.log) for p in parts]
            found.out.print(table(("Part", "State", ">Pid", ">Up for", "Log"), rows))
        elif not found.url:
            found.err.print(Text(f"no stack runs in {stack.data}; `assay up` starts it"))
        found.out.print(Text(f"{url}: {'ready' if missing is None else f'not ready: {missing}'}"))
    if missing is not None:
        raise typer.Exit(FAILED if parts else UNAVAILABLE)


def sample_endpoint(
    port: Annotated[int, typer.Option(help="0 takes a free one.", min=0, max=65535)] = 8099,
) -> None:
    """Serve the sample models (an OpenAI-compatible endpoint on loopback) until interrupted."""
    arguments = [sys.executable, "-m", "assay.sample_endpoint", "--port", str(port)]
    os.execv(sys.executable, arguments)  # noqa: S606  the same interpreter, fixed arguments


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command("sample-endpoint")(sample_endpoint)
