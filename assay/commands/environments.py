"""`assay env ...`: environments."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from assay.render import NONE, facts, moment, plain, short, table
from assay.session import Json, session

app = typer.Typer(no_args_is_help=True, help="Environments: what models are evaluated on.", rich_markup_mode=None)


@app.command()
def push(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="An environment's folder (with environment.yaml at its root) or zip.")],
    as_json: Json = False,
) -> None:
    """Validate and register an environment; the same content is the same version."""
    found = session(ctx, as_json)
    with found.client() as client:
        environment = client.environments.push(path)
    if found.json:
        found.document(environment)
        return
    phases = ", ".join(f"{phase.name} ({phase.items} items)" for phase in environment.phases)
    found.out.print(Text(plain(f"{environment.slug} version {environment.version[:12]}: {phases}")), soft_wrap=True)


@app.command("list")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the environments."""
    found = session(ctx, as_json)
    with found.client() as client:
        environments = [*client.environments.list()]
    if found.json:
        found.document(environments)
        return
    rows = [
        (e.slug, e.title, ", ".join(f"{p.name} ({p.items})" for p in e.phases), e.version[:12], moment(e.created_at))
        for e in environments
    ]
    found.out.print(table(("Environment", "Title", "Phases (items)", "Version", "Registered"), rows))


@app.command()
def show(ctx: typer.Context, slug: str, as_json: Json = False) -> None:
    """Show an environment: phases, scoring, columns, versions."""
    found = session(ctx, as_json)
    with found.client() as client:
        environment = client.environments.get(slug)
    if found.json:
        found.document(environment)
        return
    scoring = ", ".join(f"{key}: {value}" for key, value in environment.scoring.items())
    found.out.print(
        facts(
            (
                ("Environment", environment.slug),
                ("Title", environment.title),
                ("Version", environment.version),
                ("Versions", len(environment.versions)),
                ("Scoring", scoring),
                ("Columns", ", ".join(column.title or column.key for column in environment.columns)),
            )
        )
    )
    rows = [
        (p.name, p.items, moment(p.start), moment(p.end), p.max_submissions or NONE, short(p.description, 60))
        for p in environment.phases
    ]
    found.out.print()
    found.out.print(table(("Phase", ">Items", "From", "To", ">Quota", "Description"), rows))
    if environment.overview:
        found.out.print()
        found.out.print(Text(plain(environment.overview)))


@app.command()
def items(
    ctx: typer.Context,
    slug: str,
    phase: Annotated[str | None, typer.Option(help="Default: the first one.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Show the test cases of a phase."""
    found = session(ctx, as_json)
    with found.client() as client:
        shown = [*islice(client.environments.items(slug, phase), limit)]
    if found.json:
        found.document(shown)
        return
    rows = [(item.id, short(item.input, 90), NONE if item.target is None else short(item.target, 30)) for item in shown]
    found.out.print(table(("Item", "Input", "Target"), rows))
