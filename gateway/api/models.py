"""Models: read from MongoDB, changed by the orchestrator."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from nats.js.errors import KeyNotFoundError
from pydantic import Field, SecretStr
from starlette.responses import Response

from gateway import examples
from gateway.auth import ADMIN, RUNNER, VIEWER
from gateway.idempotency import IdempotencyKey, hash_of, repeat_of
from gateway.lookups import find_model
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, cut, decode, encode, older_than
from gateway.parts import Parts, PartsOf
from gateway.plain import PlainBody
from gateway.settings_versions import settings_versions
from shared import subjects
from shared.api import EngineLog, Model, ModelCreate, ModelUpdate, Page, SettingsVersion
from shared.contracts import ModelSource, ModelStatus
from shared.errors import FieldError, Invalid, Unavailable
from shared.views import model_view

router = APIRouter(prefix="/models", tags=["models"], responses=problems(400, 401, 403, 422, 503))

_MAY_BE_NULL = frozenset({"owner", "api_key", "api_key_env", "requests_per_minute", "price"})
Tags = Annotated[
    list[Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]] | None,
    Query(max_length=20, description="A tag; given several times, a model has all of them."),
]
_ONE = example(200, "The model", examples.MODEL)


@router.get(
    "",
    summary="List models",
    dependencies=[VIEWER],
    responses=example(200, "Newest first", examples.page(examples.MODEL)),
)
async def list_models(
    parts: PartsOf,
    source: Annotated[list[ModelSource] | None, Query(description="Only from these sources.")] = None,
    status: Annotated[list[ModelStatus] | None, Query(description="Only in these statuses.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    tag: Tags = None,
    published: Annotated[bool | None, Query(description="Only those that are published, or that are not.")] = None,
    withdrawn: Annotated[bool, Query(description="Those that were withdrawn too.")] = False,
) -> Page[Model]:
    query = older_than(cursor)
    if source:
        query["source"] = {"$in": [str(value) for value in source]}
    if status:
        query["status"] = {"$in": [str(value) for value in status]}
    if tag:
        query["tags"] = {"$all": tag}
    if published is not None:
        query["published_at"] = {"$ne": None} if published else None
    if not withdrawn:
        query["withdrawn_at"] = None
    newest_first = parts.database["models"].find(query, {"versions": 0}).sort([("created_at", -1), ("_id", -1)])
    rows = await newest_first.limit(limit + 1).to_list(limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row["created_at"], row["_id"]))
    return Page(items=[model_view(row) for row in page], next=following)


@router.post(
    "",
    summary="Register a model",
    status_code=201,
    dependencies=[ADMIN],
    responses={**example(201, "Registered", examples.MODEL), **problems(409, 413)},
)
async def create_model(
    body: ModelCreate, plain: PlainBody, response: Response, parts: PartsOf, idempotency_key: IdempotencyKey = None
) -> Model:
    """Answers within 5 s whatever the endpoint does. `api_key` is stored encrypted and never returned. `api_key_env` names a variable of the
    predictors' environment instead, one that the operator allows (`ASSAY_KEY_VARIABLES`)."""
    model = {**body.model_dump(mode="json"), "api_key": encrypted(parts, body.api_key)}
    if body.base_url is None and body.engine is None:
        model |= _routed(parts, body)
    repeat = repeat_of("models", idempotency_key, hash_of(plain))
    created = await parts.command("orchestrator", "models.create", {"model": model, "idempotency": repeat})
    response.headers["Location"] = f"/v1/models/{created['id']}"
    return Model.model_validate(created)


@router.get("/{model_id}", summary="One model", dependencies=[VIEWER], responses={**_ONE, **problems(404)})
async def get_model(model_id: str, parts: PartsOf) -> Model:
    return model_view(await find_model(parts.database, model_id))


@router.patch(
    "/{model_id}", summary="Change a model", dependencies=[ADMIN], responses={**_ONE, **problems(404, 409, 413)}
)
async def update_model(model_id: str, body: ModelUpdate, plain: PlainBody, parts: PartsOf) -> Model:
    """Changes what is given and leaves the rest. `api_key: null` removes the key; `api_key` and `api_key_env` take each other's place. What
    matters to answers, limits or cost makes the next `settings_version`."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    nulls: list[FieldError] = [
        {"loc": [name], "msg": "must not be null; leave it out to keep it"}
        for name, value in changes.items()
        if value is None and name not in _MAY_BE_NULL
    ]
    if nulls:
        raise Invalid("; ".join(f"{error['loc'][0]} {error['msg']}" for error in nulls), nulls)
    if "api_key" in changes:
        changes["api_key"] = encrypted(parts, body.api_key)
    if body.engine:
        changes["engine"] = body.engine.model_dump(mode="json")
    for name, other in (("api_key", "api_key_env"), ("api_key_env", "api_key")):
        if changes.get(name) is not None:
            changes[other] = None
    updated = await parts.command("orchestrator", "models.update", {"id": model_id, "changes": changes})
    return Model.model_validate(updated)


@router.get(
    "/{model_id}/versions",
    summary="The versions of its settings",
    dependencies=[VIEWER],
    responses={**example(200, "Newest first", examples.page(examples.SETTINGS_VERSION)), **problems(404)},
)
async def list_settings_versions(
    model_id: str, parts: PartsOf, limit: Limit = 50, cursor: Cursor = None
) -> Page[SettingsVersion]:
    """What was changed when, of what matters to answers, limits or cost; never a key. The newest 500 are kept. An evaluation's
    `model_settings_version` is the one that it was started with."""
    rows = settings_versions(await find_model(parts.database, model_id))
    if cursor is not None:
        (last,) = decode(cursor, int)
        rows = [row for row in rows if row.version < last]
    page, following = cut(rows, limit, lambda row: encode(row.version))
    return Page(items=page, next=following)


@router.delete(
    "/{model_id}", summary="Remove a model", status_code=204, dependencies=[ADMIN], responses=problems(404, 409)
)
async def delete_model(model_id: str, parts: PartsOf) -> None:
    """Refused while an evaluation of it is under way. Its engine is stopped."""
    await parts.command("orchestrator", "models.delete", {"id": model_id})


@router.post(
    "/{model_id}/publish",
    summary="Offer it as a platform model",
    dependencies=[ADMIN],
    responses={**_ONE, **problems(404, 409)},
)
async def publish_model(model_id: str, parts: PartsOf) -> Model:
    """Whatever its source; again where it was withdrawn. A model of source platform is published when it is registered. 409 for a model
    that the operator's models file keeps."""
    return Model.model_validate(await parts.command("orchestrator", "models.publish", {"id": model_id}))


@router.post(
    "/{model_id}/withdraw",
    summary="Take it out of the offer",
    dependencies=[ADMIN],
    responses={**_ONE, **problems(404, 409)},
)
async def withdraw_model(model_id: str, parts: PartsOf) -> Model:
    """It stays with its evaluations, and those under way go on; it is listed with `?withdrawn=true` alone, and starting an evaluation of it
    is a 409. So is withdrawing what is not published, or what the operator's models file keeps."""
    return Model.model_validate(await parts.command("orchestrator", "models.withdraw", {"id": model_id}))


@router.post(
    "/{model_id}/probe",
    summary="Ask the endpoint now",
    dependencies=[RUNNER],
    responses={**_ONE, **problems(404)},
)
async def probe_model(model_id: str, parts: PartsOf) -> Model:
    """The model with the status that was found; one whose engine is not up as it is."""
    probed: dict[str, Any] = await parts.command("orchestrator", "models.probe", {"id": model_id})
    return Model.model_validate(probed)


@router.post(
    "/{model_id}/start",
    summary="Start the engine",
    dependencies=[RUNNER],
    responses={**example(200, "The model", examples.MODEL_WITH_ENGINE), **problems(404, 409)},
)
async def start_model(model_id: str, parts: PartsOf) -> Model:
    """Answers at once with the model, `starting` or `running` already. An engine that has failed is tried again. Once it runs it is
    stopped when nothing has needed it for its `idle_stop_s`. 409 for a model without an engine."""
    return Model.model_validate(await parts.command("orchestrator", "models.start", {"id": model_id}))


@router.post(
    "/{model_id}/stop",
    summary="Stop the engine",
    dependencies=[RUNNER],
    responses={**example(200, "The model", examples.MODEL_WITH_ENGINE), **problems(404, 409)},
)
async def stop_model(model_id: str, parts: PartsOf) -> Model:
    """Answers at once with the model as it is; its `status` is `stopped` when the engine has ended. 409 while an evaluation needs it."""
    return Model.model_validate(await parts.command("orchestrator", "models.stop", {"id": model_id}))


@router.get(
    "/{model_id}/log",
    summary="What the engine writes",
    dependencies=[VIEWER],
    responses={**example(200, "The last lines, oldest first", examples.ENGINE_LOG), **problems(404)},
)
async def get_engine_log(model_id: str, parts: PartsOf) -> EngineLog:
    """The last 200 lines, also after it has ended; none for a model without an engine. New ones come as `assay.model.log` events."""
    await find_model(parts.database, model_id)
    parts.need_nats()
    store = await parts.service.js.key_value(subjects.KV_ENGINES)
    try:
        entry = await store.get(subjects.engine_log(model_id))
    except KeyNotFoundError:
        return EngineLog()
    return EngineLog.model_validate_json(entry.value or b"{}")


def _routed(parts: Parts, body: ModelCreate) -> dict[str, Any]:
    """A model that is called through Hugging Face's router, with the caller's token or else the deployment's, which goes nowhere else."""
    found: dict[str, Any] = {"base_url": parts.settings.hf_router_url}
    if (body.api_key and body.api_key.get_secret_value()) or body.api_key_env:
        return found
    token = parts.settings.hf_token
    if token is None or not token.get_secret_value():
        message = "is missing: Hugging Face's router wants a token, and the deployment has none (ASSAY_HF_TOKEN)"
        raise Invalid(f"api_key {message}", [{"loc": ["api_key"], "msg": message}])
    return found | {"api_key": encrypted(parts, token), "deployment_key": True}


def encrypted(parts: Parts, api_key: SecretStr | None) -> str | None:
    """The ciphertext of a key; an empty key is none."""
    if api_key is None or not api_key.get_secret_value():
        return None
    if parts.cipher is None:
        raise Unavailable("the orchestrator has not made the key that encrypts API keys yet")
    return parts.cipher.encrypt(api_key.get_secret_value())
