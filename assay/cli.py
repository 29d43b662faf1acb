"""The command line: `assay ...`. Each module of `assay.commands` adds its own commands."""

from typing import Annotated

import typer

from assay.commands import (
    endpoint_models,
    engines,
    environments,
    evaluations,
    models,
    parked,
    platform,
    results,
    stack,
)
from assay.session import Commands, Session

HELP = """Benchmarks live inference endpoints: many models at once, nothing lost, everything exact.

An evaluation is named by its number (678 or '#678') or its id, a model by its name or its id.

Exit codes: 0 success; 1 an evaluation failed or was cancelled, or a check says no; 2 wrong usage;
3 not found or invalid input; 4 no gateway answers, or a part of Assay is unavailable; 130 interrupted.
"""

app = typer.Typer(cls=Commands, help=HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def root(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(envvar="ASSAY_URL", help="The gateway; default: port ASSAY_PORT (8080) on this machine."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="ASSAY_API_KEY", show_envvar=True, help="The gateway's key; better in the variable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")] = False,
) -> None:
    found = ctx.ensure_object(Session)
    found.url, found.api_key, found.json = url, api_key, as_json


stack.register(app)
app.add_typer(environments.app, name="env")
engines.register(models.app)
platform.register(models.app)
endpoint_models.register(models.app)
app.add_typer(models.app, name="model")
app.add_typer(parked.app, name="parked")
evaluations.register(app)
results.register(app)


def main() -> None:
    app(prog_name="assay")


if __name__ == "__main__":
    main()
