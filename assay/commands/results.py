"""`assay results | files | leaderboard`: what evaluations found."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from assay.render import NONE, duration, interval, number, percent, plain, short, standing, table
from assay.session import Json, session
from shared.board_csv import csv_of
from shared.contracts import Outcome


def results(
    ctx: typer.Context,
    evaluation: str,
    misses: Annotated[bool, typer.Option("--misses", help="Only what was not correct.")] = False,
    outcome: Annotated[Outcome | None, typer.Option()] = None,
    q: Annotated[str | None, typer.Option(help="Only where this text occurs.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Show the test cases of an evaluation: what was expected, what came."""
    found = session(ctx, as_json)
    with found.client() as client:
        chosen = client.evaluations.results(
            evaluation, outcome=outcome.value if outcome else None, correct=False if misses else None, q=q
        )
        rows = [*islice(chosen, limit)]
    if found.json:
        found.document(rows)
        return
    cells = [
        (
            row.item_id,
            NONE if row.correct is None else "yes" if row.correct else "no",
            row.outcome.value,
            short(row.target, 24) if row.target is not None else NONE,
            short(row.prediction, 24) if row.prediction is not None else NONE,
            number(row.latency_ms),
            short(row.error or row.output, 60),
        )
        for row in rows
    ]
    columns = ("Item", "Correct", "Outcome", "Target", "Prediction", ">Latency ms", "Output or error")
    found.out.print(table(columns, cells))


def files(
    ctx: typer.Context,
    evaluation: str,
    download: Annotated[Path | None, typer.Option(metavar="DIR", help="Fetch all of them into this folder.")] = None,
    as_json: Json = False,
) -> None:
    """List the files of an evaluation, or fetch them, each verified by its sha256."""
    found = session(ctx, as_json)
    with found.client() as client:
        listed = client.evaluations.files(evaluation)
        if download is not None:
            download.mkdir(parents=True, exist_ok=True)
            for file in listed:
                path = client.evaluations.download(evaluation, file.name, to=download)
                found.err.print(Text(plain(str(path))), soft_wrap=True)
    if found.json:
        found.document(listed)
    elif download is None:
        rows = [(f.name, f.kind, f"{f.size:,}", f.content_type, f.sha256) for f in listed]
        found.out.print(table(("File", "Kind", ">Bytes", "Type", "sha256"), rows))


def leaderboard(
    ctx: typer.Context,
    environment: str,
    phase: Annotated[str | None, typer.Option(help="Default: the first one.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the ends of intervals.")] = False,
    put_on: Annotated[str | None, typer.Option(metavar="N", help="Put evaluation N on it first.")] = None,
    take_off: Annotated[str | None, typer.Option(metavar="N", help="Take evaluation N off it first.")] = None,
    as_json: Json = False,
) -> None:
    """Show the leaderboard of an environment's phase; ranks with '=' are ties.

    By hand evaluations are put on it and taken off only where the environment's submission_rule asks for that.
    """
    found = session(ctx, as_json)
    with found.client() as client:
        if take_off is not None:
            client.evaluations.take_off_leaderboard(take_off)
        if put_on is not None:
            client.evaluations.put_on_leaderboard(put_on)
        answer = client.environments.leaderboard(environment, phase)
    if found.json:
        found.document(answer)
        return
    if as_csv:
        found.out.file.write(csv_of(answer.columns, answer.items))
        return
    columns = [column for column in answer.columns if column.key not in ("accuracy", "coverage")]
    heads = [f">{column.title or column.key}" for column in columns]
    rows = []
    for row in answer.items:
        cells = [
            duration(row.scores.get(c.key)) if c.key == "duration_s" else number(row.scores.get(c.key), c.precision)
            for c in columns
        ]
        rows.append(
            (
                standing(row),
                row.model_name,
                *cells,
                percent(row.accuracy),
                interval(row.accuracy_ci95),
                percent(row.coverage),
                f"{row.total}{' (part)' if row.partial else ''}",
                f"#{row.number}",
            )
        )
    title = f"{answer.environment} {answer.phase}, version {answer.version[:12]}"
    names = (">Rank", "Model", *heads, ">Accuracy", ">95% CI", ">Coverage", ">Samples", ">Evaluation")
    found.out.print(table(names, rows, plain(title)))


def register(app: typer.Typer) -> None:
    app.command()(results)
    app.command()(files)
    app.command()(leaderboard)
