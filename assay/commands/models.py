"""`assay model ...`: models; and how a model is found by what a person calls it."""

import os
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from rich.text import Text

from assay.calls import EngineOptions, ModelOptions
from assay.client import Client
from assay.errors import InvalidInput
from assay.render import NONE, facts, moment, number, plain, short, table
from assay.session import FAILED, Json, session
from shared.api import Model, Price, SettingChange
from shared.contracts import ModelSource, ModelStatus
from shared.texts import setting

app = typer.Typer(no_args_is_help=True, help="Models: what is evaluated.", rich_markup_mode=None)


def pick(models: Iterable[Model], wanted: str) -> Model:
    """The model with this id, else the only one with this name. Raises `InvalidInput` saying which there are."""
    known = [*models]
    named = [model for model in known if model.id == wanted] or [model for model in known if model.name == wanted]
    match named:
        case [model]:
            return model
        case []:
            names = [model.name for model in known]
            like = get_close_matches(wanted, names, n=3) or names[:10]
            raise InvalidInput(f"no model is called {wanted!r}; there are: {', '.join(like) or 'none yet'}")
        case _:
            ids = ", ".join(model.id for model in named)
            raise InvalidInput(f"{len(named)} models are called {wanted!r}; say which one by its id: {ids}")


def find(client: Client, wanted: str) -> Model:
    return pick(client.models.list(withdrawn=True), wanted)


def key_of(api_key: str | None, variable: str | None) -> str | None:
    """The endpoint's key, given itself or by the variable that holds it here."""
    if api_key is not None and variable is not None:
        raise typer.BadParameter("give --api-key or --api-key-env, not both")
    if variable is None:
        return api_key
    if not os.environ.get(variable):
        raise typer.BadParameter(f"the variable {variable} is not set", param_hint="--api-key-env")
    return os.environ[variable]


def concurrency_of(given: str | None) -> int | str | None:
    """A number, or `auto`."""
    if given is None or given == "auto":
        return given
    try:
        return int(given)
    except ValueError:
        raise typer.BadParameter("must be a whole number or auto", param_hint="--max-concurrency") from None


def _status(model: Model) -> str:
    return f"{model.status.value}, withdrawn" if model.withdrawn_at else model.status.value


def _at_once(model: Model) -> str:
    """`40 (auto)`, `16`, `12 of 16` after a cut."""
    limit = model.pacing.limit if model.pacing else None
    if model.max_concurrency == "auto":
        return f"{limit} (auto)" if limit else "auto"
    return (
        str(model.max_concurrency) if limit in (None, model.max_concurrency) else f"{limit} of {model.max_concurrency}"
    )


def _engine(**given: Any) -> EngineOptions | None:
    """What was said of an engine; None where nothing was."""
    said = {key: value for key, value in given.items() if value is not None}
    if said and "name" not in said:
        raise typer.BadParameter(
            "say which engine is to load it; `assay model engines` lists them", param_hint="--engine"
        )
    if said and "checkpoint" not in said:
        raise typer.BadParameter("say what the engine is to load", param_hint="--checkpoint")
    return said or None  # type: ignore[return-value]


def _where(model: Model) -> str:
    return f"{model.engine.name}: {model.engine.checkpoint}" if model.engine else model.base_url or NONE


def _engine_details(model: Model) -> list[tuple[str, object]]:
    if not (engine := model.engine):
        return []
    return [
        ("Engine", " ".join([engine.name, *engine.args])),
        ("Checkpoint", f"{engine.checkpoint}{f' at {engine.revision}' if engine.revision else ''}"),
        ("Adapter", engine.adapter or NONE),
        ("Stopped after", f"{engine.idle_stop_s:g} s of no use"),
    ]


def _details(model: Model) -> list[tuple[str, object]]:
    return [
        ("Model", model.name),
        ("Id", model.id),
        ("Status", f"{model.status.value} {model.status_detail}".strip()),
        ("Since", moment(model.status_since)),
        ("Last error", f"{moment(model.last_error_at)}: {model.last_error}" if model.last_error else NONE),
        ("Latency", number(model.latency_ms, 1, " ms")),
        ("Source", model.source.value),
        ("Platform", _on_platform(model)),
        ("Tags", ", ".join(model.tags) or NONE),
        ("Owner", model.owner or NONE),
        ("Endpoint", model.base_url or NONE),
        *_engine_details(model),
        ("Its name there", model.model),
        ("API", f"{model.api}{', streamed' if model.stream else ''}"),
        ("API key", f"in {model.api_key_env}" if model.api_key_env else "yes" if model.has_api_key else "no"),
        ("Calls at once", _at_once(model)),
        ("Refused", f"{model.pacing.refused} of {model.pacing.calls} calls" if model.pacing else NONE),
        ("Calls a minute", model.requests_per_minute or NONE),
        ("Timeout", f"{model.timeout_s:g} s"),
        ("Attempts", model.max_attempts),
        ("Price", _price(model)),
        ("Settings", f"version {model.settings_version}"),
    ]


def _on_platform(model: Model) -> str:
    if model.withdrawn_at:
        return f"withdrawn {moment(model.withdrawn_at)}"
    return f"published {moment(model.published_at)}" if model.published_at else "no"


def _price(model: Model) -> str:
    price = model.price or Price()
    parts = [("in", price.input), ("out", price.output)]
    said = ", ".join(f"${value:g} {name}" for name, value in parts if value is not None)
    return f"{said} a million tokens" if said else NONE


@app.command()
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Free text; what tables show.")],
    base_url: Annotated[
        str | None, typer.Option(help="Ends before /chat/completions: http://127.0.0.1:11434/v1")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Its name at the endpoint: qwen2.5:7b")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="Instead of an address: what a launcher starts; `assay model engines` lists them."),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="With --engine: /a/folder, s3://bucket/prefix, or a Hub id (org/name).")
    ] = None,
    adapter: Annotated[
        str | None, typer.Option(help="With --engine: a LoRA adapter, in one of the same forms.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="With --engine: a Hub id's branch, tag or commit.")] = None,
    engine_arg: Annotated[
        list[str] | None,
        typer.Option(help="With --engine: one more argument of its command; once for each, as --engine-arg=--max-len."),
    ] = None,
    start_timeout_s: Annotated[float | None, typer.Option(help="With --engine: it has failed after that.")] = None,
    idle_stop_s: Annotated[float | None, typer.Option(help="With --engine: stopped when unused for that.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="VAR", help="The variable that holds the endpoint's key; stays out of the history."),
    ] = None,
    api_key: Annotated[str | None, typer.Option(help="The endpoint's key itself.")] = None,
    key_variable: Annotated[
        str | None,
        typer.Option(
            metavar="VAR", help="The variable that holds the key where predictors run; its name alone is kept."
        ),
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    owner: Annotated[str | None, typer.Option(help="Whom to ask about it.")] = None,
    price_input: Annotated[float | None, typer.Option(help="USD per million tokens that go in.")] = None,
    price_output: Annotated[float | None, typer.Option(help="USD per million tokens that come out.")] = None,
    source: Annotated[ModelSource | None, typer.Option()] = None,
    api: Annotated[str | None, typer.Option(help="chat (default) or completions.")] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="Ask for streamed answers: adds the time to the first token.")
    ] = False,
    max_concurrency: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Most calls at once; auto: as many as pay.")
    ] = None,
    concurrency_ceiling: Annotated[int | None, typer.Option(help="The most that auto may come to.")] = None,
    requests_per_minute: Annotated[float | None, typer.Option()] = None,
    timeout_s: Annotated[float | None, typer.Option(help="For one call, in seconds.")] = None,
    connect_timeout_s: Annotated[float | None, typer.Option(help="For its connection.")] = None,
    first_token_timeout_s: Annotated[float | None, typer.Option(help="With --stream: until the first token.")] = None,
    token_timeout_s: Annotated[float | None, typer.Option(help="With --stream: from one token to the next.")] = None,
    max_attempts: Annotated[int | None, typer.Option(help="Calls for one sample before it is an infra_error.")] = None,
    as_json: Json = False,
) -> None:
    """Register a model: with the address of a live endpoint, or with an engine that is started for a checkpoint when it is needed."""
    found = session(ctx, as_json)
    given = {
        "api_key": key_of(api_key, api_key_env),
        "api_key_env": key_variable,
        "tags": tag or None,
        "owner": owner,
        "price": {"input": price_input, "output": price_output} if price_input or price_output else None,
        "source": source.value if source else None,
        "api": api,
        "stream": stream or None,
        "max_concurrency": concurrency_of(max_concurrency),
        "concurrency_ceiling": concurrency_ceiling,
        "requests_per_minute": requests_per_minute,
        "timeout_s": timeout_s,
        "connect_timeout_s": connect_timeout_s,
        "first_token_timeout_s": first_token_timeout_s,
        "token_timeout_s": token_timeout_s,
        "max_attempts": max_attempts,
    }
    started_as = _engine(
        name=engine,
        checkpoint=checkpoint,
        adapter=adapter,
        revision=revision,
        args=engine_arg,
        start_timeout_s=start_timeout_s,
        idle_stop_s=idle_stop_s,
    )
    options: ModelOptions = {key: value for key, value in given.items() if value is not None}  # type: ignore[assignment]
    with found.client() as client:
        added = client.models.add(name, base_url=base_url, model=model, engine=started_as, **options)
    if found.json:
        found.document(added)
    else:
        detail = f" ({short(added.status_detail, 100)})" if added.status_detail else ""
        found.out.print(Text(plain(f"{added.name} is {added.id}: {added.status.value}{detail}")), soft_wrap=True)


@app.command("list")
def list_(
    ctx: typer.Context,
    source: Annotated[ModelSource | None, typer.Option()] = None,
    status: Annotated[ModelStatus | None, typer.Option()] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Those with all of these.")] = None,
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Those that were withdrawn too.")] = False,
    as_json: Json = False,
) -> None:
    """List the models."""
    found = session(ctx, as_json)
    with found.client() as client:
        sources, statuses = source.value if source else None, status.value if status else None
        models = [*client.models.list(sources, statuses, tags=tag or [], withdrawn=withdrawn)]
    if found.json:
        found.document(models)
        return
    rows = [
        (m.name, m.id, m.source.value, _status(m), number(m.latency_ms), m.model, _where(m), _at_once(m))
        for m in models
    ]
    columns = ("Model", "Id", "Source", "Status", ">Latency ms", "Its name there", "Endpoint", ">At once")
    found.out.print(table(columns, rows))


@app.command()
def show(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Show a model."""
    found = session(ctx, as_json)
    with found.client() as client:
        shown = find(client, model)
    if found.json:
        found.document(shown)
    else:
        found.out.print(facts(_details(shown)))


@app.command()
def versions(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """List the versions of a model's settings: what was changed when."""
    found = session(ctx, as_json)
    with found.client() as client:
        known = [*client.models.versions(find(client, model).id)]
    if found.json:
        found.document(known)
        return
    rows = [
        (row.version, moment(row.created_at), ", ".join(_change(change) for change in row.changes) or NONE)
        for row in known
    ]
    found.out.print(table((">Version", "From", "Changed"), rows))


def _change(change: SettingChange) -> str:
    return f"{change.name}: {setting(change.before)} to {setting(change.after)}"


@app.command()
def probe(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Ask a model's endpoint now. Exit 0 only if it answers."""
    found = session(ctx, as_json)
    with found.client() as client:
        probed = client.models.probe(find(client, model).id)
    if found.json:
        found.document(probed)
    else:
        line = f"{probed.name}: {probed.status.value}  {probed.status_detail}  {number(probed.latency_ms, 1, ' ms')}"
        found.out.print(Text(plain(line)), soft_wrap=True)
    if probed.status is not ModelStatus.RUNNING:
        raise typer.Exit(FAILED)


@app.command()
def rm(ctx: typer.Context, model: str, as_json: Json = False) -> None:
    """Remove a model; its evaluations stay."""
    found = session(ctx, as_json)
    with found.client() as client:
        removed = find(client, model)
        client.models.delete(removed.id)
    if found.json:
        found.document({"deleted": removed.id})
    else:
        found.out.print(Text(plain(f"removed {removed.name} ({removed.id})")))
