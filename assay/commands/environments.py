"""`assay env ...`: environments."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.text import Text

from assay.address import Address
from assay.errors import InvalidInput
from assay.new import new_environment, slugified
from assay.render import NONE, duration, facts, moment, plain, short, table
from assay.session import FAILED, Json, Session, explain, session
from assay.starters import STARTERS
from shared.api import Environment, Imported, InWords
from shared.errors import FieldError, Problem
from shared.explain import explained
from shared.imports import FORMATS
from shared.manifest import Manifest
from shared.phases import state_of

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
    _registered(found, environment)


@app.command("import")
def import_(
    ctx: typer.Context,
    format: Annotated[str, typer.Argument(help=f"What PATH is: {', '.join(FORMATS)}.")],
    path: Annotated[Path | None, typer.Argument(help="A file or a folder; some formats need none.")] = None,
    slug: Annotated[str | None, typer.Option(help="Its name in addresses; by default made of the title.")] = None,
    title: Annotated[str | None, typer.Option(help="By default the source's own.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the format, such as fields.input=question; VALUE may be JSON.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an environment of something in another format, and say what became of it."""
    found = session(ctx, as_json)
    asked = settings(options or ())
    asked |= {name: value for name, value in (("slug", slug), ("title", title)) if value is not None}
    with found.client() as client:
        environment = client.environments.import_(format, path, **asked)
    if found.json:
        found.document(environment)
        return
    _registered(found, environment)
    if environment.imported is not None:
        _report(found, environment.imported)


def settings(options: Sequence[str]) -> dict[str, Any]:
    """`fields.input=question` as `{"fields": {"input": "question"}}`; a value is JSON where it can be read as such, else text."""
    asked: dict[str, Any] = {}
    for option in options:
        key, equals, text = option.partition("=")
        *path, last = key.strip().split(".")
        if not equals or not all((*path, last)):
            raise InvalidInput(f"--set {option!r}: write KEY=VALUE, such as fields.input=question")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        place = asked
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InvalidInput(f"--set {option!r}: {part} has a value already")
        place[last] = value
    return asked


def _registered(found: Session, environment: Environment) -> None:
    phases = ", ".join(f"{phase.name} ({phase.items} items)" for phase in environment.phases)
    found.out.print(Text(plain(f"{environment.slug} version {environment.version[:12]}: {phases}")), soft_wrap=True)


def _report(found: Session, imported: Imported) -> None:
    verdict = "comparable" if imported.comparable else "not comparable"
    found.out.print(Text(plain(f"Scores are {verdict} with the original's: {imported.comparable_why}")), soft_wrap=True)
    for note in imported.notes:
        found.out.print(Text(plain(f"- {note}")), soft_wrap=True)
    if imported.dropped:
        found.out.print(
            Text(plain("Left out: " + ", ".join(f"{n} {kind}" for kind, n in imported.dropped.items()))), soft_wrap=True
        )


@app.command()
def new(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(help="What to write into: a folder that is not there, or empty.")],
    scorer: Annotated[str, typer.Option(help=f"How answers are scored: {', '.join(STARTERS)}.")] = "exact_match",
    slug: Annotated[str | None, typer.Option(help="Its name in addresses; default: the folder's.")] = None,
    title: Annotated[str | None, typer.Option(help="What people read; default: made from the slug.")] = None,
    as_json: Json = False,
) -> None:
    """Write an environment to start from: small, right as it is, with every option as a comment."""
    found = session(ctx, as_json)
    named = slug or slugified(folder.resolve().name)
    called = title or named.replace("-", " ").replace("_", " ").capitalize()
    schema = f"{Address.resolve(found.url, found.api_key).url}/schemas/environment.json"
    try:
        files = new_environment(folder, scorer, named, called, schema)
    except ValidationError as error:
        wrong = explained(error, {"slug": named, "title": called}, Manifest.model_json_schema())
        raise InvalidInput("it cannot be called so", [FieldError(loc=[*loc], msg=msg) for loc, msg in wrong]) from None
    if found.json:
        found.document({"slug": named, "folder": folder, "files": files})
        return
    found.out.print(Text(plain(f"{named} is in {folder}: {', '.join(files)}")), soft_wrap=True)
    found.out.print(Text(plain(f"next: assay env check {folder}")), soft_wrap=True)


@app.command()
def check(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="An environment's folder (with environment.yaml at its root) or zip.")],
    as_json: Json = False,
) -> None:
    """Check an environment before it is sent, on this machine alone, exactly as `push` would. Exit 1 if something is wrong."""
    # Here, since no other command needs what a service is made of.
    from assay import check as checking

    found = session(ctx, as_json)
    try:
        checked = asyncio.run(checking.check(path))
    except (InvalidInput, Problem) as error:
        if isinstance(error, Problem) and error.status >= 500:
            raise
        if found.json:
            found.document({"valid": False, "detail": error.detail, "errors": error.errors})
        else:
            for line in explain(error):
                found.err.print(Text(line), soft_wrap=True)
        raise typer.Exit(FAILED) from None
    if found.json:
        found.document({"valid": True, **checked.model_dump(mode="json")})
        return
    phases = ", ".join(f"{phase.name} ({phase.items} items)" for phase in checked.phases)
    found.out.print(Text(plain(f"{checked.slug} is right: version {checked.version[:12]}: {phases}")), soft_wrap=True)
    _say(found, checked.in_words)
    for warning in checked.warnings:
        found.out.print(Text(plain(f"  warning: {warning}")), soft_wrap=True)


def _say(found: Session, words: InWords) -> None:
    """The manifest in sentences."""
    phases = [f"{name}: {' '.join(said)}" for name, said in words.phases.items() if said]
    for title, said in (("Asked", words.measured), ("Scored", words.scoring), ("Ranked", words.ranking)):
        if said:
            found.out.print(Text(plain(f"  {title}: {' '.join(said)}")), soft_wrap=True)
    for phase in phases:
        found.out.print(Text(plain(f"  Phase {phase}")), soft_wrap=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    q: Annotated[str | None, typer.Option("--search", "-q", help="Part of a name, title, description or tag.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only those with this tag; repeat it for all of several.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the environments."""
    found = session(ctx, as_json)
    with found.client() as client:
        environments = [*client.environments.list(q, tag or ())]
    if found.json:
        found.document(environments)
        return
    rows = [
        (e.slug, e.title, ", ".join(f"{p.name} ({p.items})" for p in e.phases), e.version[:12], moment(e.created_at))
        for e in environments
    ]
    found.out.print(table(("Environment", "Title", "Phases (items)", "Version", "Registered"), rows))


@app.command()
def versions(ctx: typer.Context, slug: str, as_json: Json = False) -> None:
    """List all versions of an environment; each is evaluated as slug@version."""
    found = session(ctx, as_json)
    with found.client() as client:
        every = [*client.environments.versions(slug)]
    if found.json:
        found.document(every)
        return
    rows = [(e.version, ", ".join(f"{p.name} ({p.items})" for p in e.phases), moment(e.created_at)) for e in every]
    found.out.print(table(("Version", "Phases (items)", "Registered"), rows))


@app.command()
def show(ctx: typer.Context, slug: str, as_json: Json = False) -> None:
    """Show an environment: phases, scoring, columns, versions."""
    found = session(ctx, as_json)
    with found.client() as client:
        environment = client.environments.get(slug)
    if found.json:
        found.document(environment)
        return
    found.out.print(
        facts(
            (
                ("Environment", environment.slug),
                ("Title", environment.title),
                ("Version", environment.version),
                ("Versions", len(environment.versions)),
                ("Tags", ", ".join(environment.tags) or NONE),
                ("Columns", ", ".join(column.title or column.key for column in environment.columns)),
            )
        )
    )
    _say(found, environment.in_words)
    now = datetime.now(UTC)
    rows = [
        (
            p.name,
            p.items,
            state_of(p.start, p.end, now),
            moment(p.start),
            moment(p.end),
            p.max_submissions or NONE,
            p.max_submissions_per_day or NONE,
            duration(p.execution_time_limit_s),
            "hidden" if p.hide_targets else "shown",
            short(p.description, 60),
        )
        for p in environment.phases
    ]
    found.out.print()
    names = ("Phase", ">Items", "Now", "From", "To", ">Quota", ">A day", ">Time limit", "Targets", "Description")
    found.out.print(table(names, rows))
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
