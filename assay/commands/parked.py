"""`assay parked ...`: messages that were set aside because they are themselves bad."""

from typing import Annotated

import typer
from rich.text import Text

from assay.render import moment, plain, table
from assay.session import Json, session

app = typer.Typer(no_args_is_help=True, help="Messages that were set aside, with their reason.", rich_markup_mode=None)

Id = Annotated[str, typer.Argument(help="As `assay parked list` shows it.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    evaluation: Annotated[str | None, typer.Option(help="Only of this evaluation.")] = None,
    as_json: Json = False,
) -> None:
    """List them, the oldest first."""
    found = session(ctx, as_json)
    with found.client() as client:
        parked = [*client.parked.list(evaluation)]
    if found.json:
        found.document(parked)
        return
    rows = [(p.id, moment(p.parked_at), p.parked_by, p.subject, p.message_id or "", p.reason) for p in parked]
    found.out.print(table(("Id", "Parked at", "By", "Subject", "Message", "Reason"), rows))


@app.command()
def replay(ctx: typer.Context, parked: Id, as_json: Json = False) -> None:
    """Send one on again, once its cause is mended."""
    found = session(ctx, as_json)
    with found.client() as client:
        replayed = client.parked.replay(parked)
    if found.json:
        found.document(replayed)
    else:
        found.out.print(Text(plain(f"sent on {replayed.id} to {replayed.subject}")), soft_wrap=True)


@app.command()
def discard(ctx: typer.Context, parked: Id, as_json: Json = False) -> None:
    """Throw one away."""
    found = session(ctx, as_json)
    with found.client() as client:
        client.parked.discard(parked)
    if found.json:
        found.document({"discarded": parked})
    else:
        found.out.print(Text(plain(f"discarded {parked}")), soft_wrap=True)
