"""`assay model publish`, `withdraw` and `check`: the models that the platform offers."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from assay.commands.models import find
from assay.errors import InvalidInput
from assay.render import plain
from assay.session import FAILED, Json, explain, session
from shared.errors import Invalid
from shared.settings import Settings


def publish(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Offer a model as one of the platform's, again where it was withdrawn."""
    found = session(ctx, as_json)
    with found.client() as client:
        published = client.models.publish(find(client, model).id)
    if found.json:
        found.document(published)
    else:
        found.out.print(Text(plain(f"{published.name} is published")), soft_wrap=True)


def withdraw(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Take a model out of the offer: it stays with its evaluations, and no new one of it can be started."""
    found = session(ctx, as_json)
    with found.client() as client:
        withdrawn = client.models.withdraw(find(client, model).id)
    if found.json:
        found.document(withdrawn)
    else:
        found.out.print(Text(plain(f"{withdrawn.name} is withdrawn")), soft_wrap=True)


def check(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A models file, as ASSAY_MODELS_FILE names one.")],
    as_json: Json = False,
) -> None:
    """Check a models file on this machine alone, with its ASSAY_ settings, exactly as it would be read. Exit 1 if something is wrong."""
    # Here, since no other command needs what a service is made of.
    from services.orchestrator.models_file import read_models

    found = session(ctx, as_json)
    settings = Settings()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    try:
        models = asyncio.run(read_models(data, path.name, settings.networks, settings.key_names))
    except Invalid as error:
        if found.json:
            found.document({"valid": False, "detail": error.detail, "errors": error.errors})
        else:
            for line in explain(error):
                found.err.print(Text(line), soft_wrap=True)
        raise typer.Exit(FAILED) from None
    names = [model.name for model in models]
    if found.json:
        found.document({"valid": True, "models": names})
    else:
        said = f"{path.name} is right: {len(names)} model{'s' * (len(names) != 1)}: {', '.join(names)}"
        found.out.print(Text(plain(said)), soft_wrap=True)


def register(app: typer.Typer) -> None:
    for command in (publish, withdraw, check):
        app.command()(command)
