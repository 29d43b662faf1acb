"""`assay model add-all` and `assay model discover`: the models that an endpoint lists."""

from typing import Annotated

import typer
from rich.text import Text

from assay.calls import ModelOptions
from assay.commands.models import concurrency_of, key_of
from assay.render import plain, table
from assay.session import Json, Session, session
from shared.api import EndpointModels, LocalEndpoint
from shared.contracts import ModelSource


def add_all(
    ctx: typer.Context,
    base_url: Annotated[str, typer.Argument(help="Ends before /models: http://127.0.0.1:11434/v1")],
    model: Annotated[
        list[str] | None, typer.Option(help="Only this one, by its name there; may be given several times.")
    ] = None,
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
    owner: Annotated[str | None, typer.Option(help="Whom to ask about them.")] = None,
    source: Annotated[ModelSource | None, typer.Option()] = None,
    api: Annotated[str | None, typer.Option(help="chat (default) or completions.")] = None,
    max_concurrency: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Most calls at once of each; auto: as many as pay.")
    ] = None,
    requests_per_minute: Annotated[float | None, typer.Option(help="Of each.")] = None,
    timeout_s: Annotated[float | None, typer.Option(help="For one call, in seconds.")] = None,
    as_json: Json = False,
) -> None:
    """Register every model that an endpoint lists, under its name there. Those that are there already are left as they are."""
    found = session(ctx, as_json)
    given = {
        "api_key": key_of(api_key, api_key_env),
        "api_key_env": key_variable,
        "tags": tag or None,
        "owner": owner,
        "source": source.value if source else None,
        "api": api,
        "max_concurrency": concurrency_of(max_concurrency),
        "requests_per_minute": requests_per_minute,
        "timeout_s": timeout_s,
    }
    options: ModelOptions = {key: value for key, value in given.items() if value is not None}  # type: ignore[assignment]
    with found.client() as client:
        added = client.models.add_all(base_url, model or None, **options)
    if found.json:
        found.document(added)
    else:
        _say(found, added)


def discover(
    ctx: typer.Context,
    add: Annotated[bool, typer.Option("--add", help="Register their models at once.")] = False,
    as_json: Json = False,
) -> None:
    """Look for inference servers at their usual ports on the machine where Assay runs."""
    found = session(ctx, as_json)
    with found.client() as client:
        servers = client.models.discover()
        new = [server for server in servers if set(server.models) - set(server.registered)]
        added = [client.models.add_all(server.base_url) for server in new] if add else []
    if found.json:
        found.document({"servers": servers, "added": added} if add else servers)
        return
    if not servers:
        found.out.print("No server answers at the usual ports of vLLM, SGLang, llama.cpp, Ollama, LM Studio or TGI.")
        return
    rows = [(server.server, server.base_url, ", ".join(server.models), _then(server)) for server in servers]
    found.out.print(table(("Server", "Endpoint", "Models", "To add them"), rows))
    for each in added:
        _say(found, each)


def _then(server: LocalEndpoint) -> str:
    if server.needs_key:
        return f"assay model add-all {server.base_url} --api-key-env VAR"
    if set(server.models) <= set(server.registered):
        return "registered" if server.models else "it lists no models"
    return f"assay model add-all {server.base_url}"


def _say(found: Session, added: EndpointModels) -> None:
    for model in added.registered:
        found.out.print(Text(plain(f"{model.name} is {model.id}: {model.status.value}")), soft_wrap=True)
    for model in added.present:
        found.out.print(Text(plain(f"{model.name} is {model.id}: it was there already")), soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds the commands to `assay model`."""
    app.command("add-all")(add_all)
    app.command()(discover)
