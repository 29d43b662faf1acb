"""`assay eval | evals | watch | cancel | redrive`: evaluations as they run."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from assay.commands.models import find, pick
from assay.render import moment, percent, plain, scores, table
from assay.session import FAILED, Json, Session, session
from assay.watch import board, follow, log_line
from shared.api import Evaluation
from shared.contracts import FINAL, Status


def parameters(given: Sequence[str]) -> dict[str, Any]:
    """`temperature=0.2` as `{"temperature": 0.2}`: values are JSON where they parse as it, else text."""
    found: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{pair!r} is not name=value", param_hint="--param")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def run(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="A slug, or slug@version.")],
    model: Annotated[list[str], typer.Option(help="A name or an id; once for each model.")],
    phase: Annotated[str | None, typer.Option(help="Default: the first one.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first items.")] = None,
    samples: Annotated[int, typer.Option(help="Answers to each item.")] = 1,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="temperature=0.2, max_tokens=512 ...")
    ] = None,
    priority: Annotated[int, typer.Option(help="1 to 100: the share where a model serves several evaluations.")] = 1,
    judge: Annotated[
        str | None,
        typer.Option(help="The model that judges, a name or an id; default: the one that the environment names."),
    ] = None,
    unreachable_wait_s: Annotated[
        float | None,
        typer.Option(help="How long to wait for a model that is away, in seconds; default: the deployment's."),
    ] = None,
    watch: Annotated[bool, typer.Option(help="Follow until all have ended.")] = True,
    as_json: Json = False,
) -> None:
    """Evaluate models on an environment, all at once. Exit 0 only if all complete."""
    found = session(ctx, as_json)
    params = parameters(param or [])
    with found.client() as client:
        known = [*client.models.list()]
        started = client.evaluations.start(
            environment,
            [pick(known, name).id for name in model],
            phase=phase,
            limit=limit,
            samples_per_item=samples,
            params=params,
            priority=priority,
            judge=pick(known, judge).id if judge else None,
            unreachable_wait_s=unreachable_wait_s,
        ).evaluations
    if not watch:
        if found.json:
            found.document(started)
        for evaluation in [] if found.json else started:
            found.out.print(Text(plain(f"#{evaluation.number} {evaluation.model_name}: {evaluation.status.value}")))
        return
    ended = _followed(found, started)
    if found.json:
        found.document(ended)
    else:
        found.out.print()
        found.out.print(scores(ended, lowest_first=_lowest_first(found, environment, ended)))
        _advise(found, ended)
    if any(evaluation.status is not Status.COMPLETED for evaluation in ended):
        raise typer.Exit(FAILED)


def _lowest_first(found: Session, environment: str, ended: Sequence[Evaluation]) -> bool:
    """Whether less is better by the leaderboard's first column; asked only where there is something to rank."""
    if len(ended) < 2:
        return False
    with found.client() as client:
        columns = client.environments.get(environment).columns
    return bool(columns) and columns[0].sorting == "asc"


def _followed(found: Session, started: Sequence[Evaluation]) -> list[Evaluation]:
    async def watching() -> list[Evaluation]:
        async with found.async_client() as client:
            return await follow(client, started, board(found.talk))

    try:
        return asyncio.run(watching())
    except KeyboardInterrupt:
        numbers = " ".join(str(evaluation.number) for evaluation in started)
        found.err.print(
            Text(f"no longer watching; {numbers} go on. `assay watch N` follows one, `assay cancel N` stops it")
        )
        raise


def _advise(found: Session, ended: Sequence[Evaluation]) -> None:
    for evaluation in ended:
        if evaluation.status is Status.COMPLETED and evaluation.progress.infra_error:
            lost = f"#{evaluation.number}: {evaluation.progress.infra_error} samples were never answered (infra_error)"
            found.err.print(Text(f"{lost}; `assay redrive {evaluation.number}` calls them again"))


def list_(
    ctx: typer.Context,
    environment: Annotated[str | None, typer.Option("--env")] = None,
    model: Annotated[str | None, typer.Option(help="A name or an id.")] = None,
    status: Annotated[Status | None, typer.Option()] = None,
    group: Annotated[str | None, typer.Option()] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List evaluations, newest first."""
    found = session(ctx, as_json)
    with found.client() as client:
        wanted = find(client, model).id if model else None
        chosen = client.evaluations.list(
            environment=environment, model=wanted, status=status.value if status else None, group=group
        )
        evaluations = [*islice(chosen, limit)]
    if found.json:
        found.document(evaluations)
        return
    rows = [
        (
            f"#{e.number}",
            e.environment,
            e.phase,
            e.model_name,
            e.status.value,
            f"{e.progress.done}/{e.progress.total}",
            percent((e.metrics or {}).get("accuracy")),
            moment(e.created_at),
        )
        for e in evaluations
    ]
    columns = (">Evaluation", "Environment", "Phase", "Model", "Status", ">Done", ">Accuracy", "Started")
    found.out.print(table(columns, rows))


def watch(
    ctx: typer.Context,
    evaluation: Annotated[str | None, typer.Argument(help="Default: everything, from now on.")] = None,
    after: Annotated[str | None, typer.Option(help="The cursor of the last event that was seen.")] = None,
    as_json: Json = False,
) -> None:
    """The live log: of one evaluation from its beginning to its end, or of everything until interrupted."""
    found = session(ctx, as_json)
    with found.client() as client, closing(client.events(evaluation, after)) as events:
        for event in events:
            if found.json:
                found.line(event)
            else:
                found.out.print(Text(log_line(event)), soft_wrap=True)
        if evaluation is not None and client.evaluations.get(evaluation).status is not Status.COMPLETED:
            raise typer.Exit(FAILED)


def cancel(ctx: typer.Context, evaluation: str, as_json: Json = False) -> None:
    """Stop an evaluation."""
    found = session(ctx, as_json)
    with found.client() as client:
        _tell(found, client.evaluations.cancel(evaluation))


def redrive(ctx: typer.Context, evaluation: str, as_json: Json = False) -> None:
    """Call again only what ended in infra_error."""
    found = session(ctx, as_json)
    with found.client() as client:
        _tell(found, client.evaluations.redrive(evaluation))


def _tell(found: Session, evaluation: Evaluation) -> None:
    if found.json:
        found.document(evaluation)
        return
    goes_on = "" if evaluation.status in FINAL else f"; `assay watch {evaluation.number}` follows it"
    found.out.print(Text(plain(f"#{evaluation.number} {evaluation.model_name}: {evaluation.status.value}{goes_on}")))


def register(app: typer.Typer) -> None:
    app.command("eval")(run)
    app.command("evals")(list_)
    app.command()(watch)
    app.command()(cancel)
    app.command()(redrive)
