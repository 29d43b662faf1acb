"""Environments: read from MongoDB, registered by artifacts out of an uploaded bundle."""

import logging
import re
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.datastructures import UploadFile
from starlette.responses import Response

from gateway import examples
from gateway.api.files import SAFE_HEADERS, streamed
from gateway.auth import ADMIN, VIEWER, CurrentRole, Role, sees_targets
from gateway.idempotency import IdempotencyKey, hash_of, repeat_of
from gateway.imports import options_from, options_from_text
from gateway.lookups import find_environment, phase_of, versions_of
from gateway.openapi import example, problems
from gateway.paging import Cursor, Limit, cut, decode, encode, older_than
from gateway.parts import Parts, PartsOf
from gateway.uploads import FIELD, IMPORT_FIELD, Upload, hash_of_bundle, receive, stage, unstage, wrong
from shared.api import Environment, EnvironmentDetail, Item, Page
from shared.errors import BadRequest, Problem, Unavailable
from shared.imports import Import, as_sent
from shared.views import environment_detail_view, environment_view

logger = logging.getLogger("assay.gateway")

router = APIRouter(prefix="/environments", tags=["environments"], responses=problems(400, 401, 403, 422, 503))

REGISTER_TIMEOUT_S = 600.0
"""Validating every item of a large bundle takes time."""

Search = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Part of a slug, title, description or tag.")
]
Tags = Annotated[
    list[Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]] | None,
    Query(max_length=20, description="A tag; given several times, an environment has all of them."),
]
Phase = Annotated[str | None, Query(description="A phase's name; the first one where it is left out.")]

_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "string",
                            "format": "binary",
                            "description": "A zip with environment.yaml; with `import`, a zip or a file in the format that it names.",
                        },
                        IMPORT_FIELD: {"$ref": "#/components/schemas/Import"},
                    },
                },
                "encoding": {IMPORT_FIELD: {"contentType": "application/json"}},
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": [IMPORT_FIELD],
                    "properties": {IMPORT_FIELD: {"$ref": "#/components/schemas/Import"}},
                    "description": "For an import that needs no file.",
                },
            },
        },
    }
}


@router.get(
    "",
    summary="List environments",
    dependencies=[VIEWER],
    responses=example(200, "The latest version of each, newest first", examples.page(examples.ENVIRONMENT)),
)
async def list_environments(
    parts: PartsOf,
    q: Search = None,
    tag: Tags = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Environment]:
    pipeline = [
        *latest_versions(q, tag),
        {"$match": older_than(cursor)},
        {"$sort": {"created_at": -1, "_id": -1}},
        {"$limit": limit + 1},
    ]
    rows = await parts.database["environments"].aggregate(pipeline).to_list(limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row["created_at"], row["_id"]))
    return Page(items=[environment_view(row) for row in page], next=following)


def latest_versions(q: str | None, tags: list[str] | None) -> list[dict[str, Any]]:
    """The pipeline's stages to the latest version of each environment that `q` finds and that has all of `tags`."""
    conditions: list[dict[str, Any]] = []
    if q:
        contains = {"$regex": re.escape(q), "$options": "i"}
        conditions.append({"$or": [{name: contains} for name in ("slug", "title", "description", "tags")]})
    if tags:
        conditions.append({"tags": {"$all": tags}})
    return [
        {"$sort": {"slug": 1, "created_at": -1, "_id": -1}},
        {"$project": {"manifest": 0, "overview": 0}},
        {"$group": {"_id": "$slug", "latest": {"$first": "$$ROOT"}}},
        {"$replaceRoot": {"newRoot": "$latest"}},
        {"$match": {"$and": conditions} if conditions else {}},
    ]


@router.post(
    "",
    summary="Register an environment version",
    status_code=201,
    response_model=EnvironmentDetail,
    dependencies=[ADMIN],
    responses={**example(201, "Registered", examples.ENVIRONMENT_DETAIL), **problems(409, 413)},
    openapi_extra=_UPLOAD,
)
async def create_environment(
    request: Request, response: Response, parts: PartsOf, idempotency_key: IdempotencyKey = None
) -> Any:
    """Validates the whole bundle first: a 422 names file, line and field. The same content is the same version.

    With `import`, what is sent is in another format, and is made into a bundle first; `imported` in the answer says what became of it.
    """
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    upload = await receive(request, parts.settings) if is_form else Upload(None, {})
    try:
        if is_form:
            has_file = upload.bundle is not None
            text = upload.texts.get(IMPORT_FIELD)
            options = None if text is None else options_from_text(text, has_file=has_file)
        else:
            options = await _import_alone(request)
        registered = await register(parts, upload.bundle, options, idempotency_key)
    finally:
        await upload.close()
    response.headers["Location"] = f"/v1/environments/{registered['slug']}@{registered['version']}"
    return registered


async def _import_alone(request: Request) -> Import:
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise BadRequest(f"the body is neither multipart/form-data with a zip in the field {FIELD} nor JSON") from None
    if not isinstance(body, dict) or IMPORT_FIELD not in body:
        raise wrong(FIELD, "is missing: send multipart/form-data with a zip in this field")
    if unknown := sorted(body.keys() - {IMPORT_FIELD}):
        raise wrong(unknown[0][:200], f"there is no such field; a JSON body has {IMPORT_FIELD} alone")
    return options_from(body[IMPORT_FIELD], has_file=False)


async def register(parts: Parts, bundle: UploadFile | None, options: Import | None, key: str | None = None) -> Any:
    """The registered version as JSON; with a key that has been used for this very request the first answer again."""
    parts.need_nats()
    repeat = repeat_of("environments", key, await _hash_of(bundle, options)) if key else None
    if repeat is None:
        return await _register(parts, bundle, options)
    if answer := (await parts.command("orchestrator", "idempotency.claim", {**repeat}))["answer"]:
        return answer
    try:
        answer = await _register(parts, bundle, options)
    except Unavailable:
        raise
    except Problem:
        # Refused: corrected, it may come again under the same key.
        await _finish(parts, repeat["key"], None)
        raise
    await _finish(parts, repeat["key"], answer)
    return answer


async def _hash_of(bundle: UploadFile | None, options: Import | None) -> str:
    content = None if bundle is None else await hash_of_bundle(bundle)
    if content is not None and options is None:
        return content
    return hash_of({FIELD: content, IMPORT_FIELD: options and as_sent(options)})


async def _finish(parts: Parts, key: str, answer: Any) -> None:
    """Without the record a repeat registers the same content again, which is the same version: no reason to fail."""
    try:
        await parts.command("orchestrator", "idempotency.finish", {"key": key, "answer": answer})
    except Problem as problem:
        logger.warning("cannot record the answer to an Idempotency-Key: %s", problem.detail)


async def _register(parts: Parts, bundle: UploadFile | None, options: Import | None) -> Any:
    """Artifacts removes the staged object whenever it answers."""
    key = None if bundle is None else await stage(bundle, parts.objects)
    body: dict[str, Any] = {"key": key, "filename": ((bundle and bundle.filename) or "bundle.zip")[:255]}
    if options is not None:
        body["import"] = as_sent(options)
    try:
        return await parts.command("artifacts", "environments.register", body, timeout=REGISTER_TIMEOUT_S)
    except Unavailable:
        if key is not None:
            await unstage(key, parts.objects)
        raise


@router.get(
    "/{slug}",
    summary="One environment",
    dependencies=[VIEWER],
    responses={**example(200, "The version", examples.ENVIRONMENT_DETAIL), **problems(404)},
)
async def get_environment(slug: str, parts: PartsOf) -> EnvironmentDetail:
    """The latest version of a slug, or the one of `slug@version`."""
    environment = await find_environment(parts.database, slug)
    return environment_detail_view(environment, await versions_of(parts.database, environment["slug"]))


@router.get(
    "/{slug}/versions",
    summary="All versions of an environment",
    dependencies=[VIEWER],
    responses={**example(200, "Newest first", examples.page(examples.ENVIRONMENT)), **problems(404)},
)
async def list_versions(slug: str, parts: PartsOf, limit: Limit = 50, cursor: Cursor = None) -> Page[Environment]:
    """Each is immutable and can be read and evaluated as `slug@version`."""
    environment = await find_environment(parts.database, slug)
    query = {"$and": [{"slug": environment["slug"]}, older_than(cursor)]}
    found = parts.database["environments"].find(query, {"manifest": 0, "overview": 0})
    rows = await found.sort([("created_at", -1), ("_id", -1)]).limit(limit + 1).to_list(limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row["created_at"], row["_id"]))
    return Page(items=[environment_view(row) for row in page], next=following)


@router.get(
    "/{slug}/bundle",
    summary="The bundle, as a zip",
    dependencies=[ADMIN],
    response_class=Response,
    responses={
        200: {
            "description": "A zip",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(404),
    },
)
async def get_bundle(slug: str, parts: PartsOf) -> Response:
    """What was sent, or what an import became: sent again as it is, it is the same version. It holds the gold answers."""
    environment = await find_environment(parts.database, slug)
    slug, version = environment["slug"], environment["version"]
    headers = {
        **SAFE_HEADERS,
        "ETag": f'"{version}"',
        "Content-Disposition": f'attachment; filename="{slug}-{version[:12]}.zip"',
    }
    return await streamed(parts.objects, f"environments/{slug}/{version}.zip", headers, "application/zip")


@router.get("/{slug}/items", summary="Test cases", dependencies=[VIEWER], responses=problems(404))
async def list_items(
    slug: str, parts: PartsOf, role: CurrentRole, phase: Phase = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[Item]:
    """In the data's order. `target` is null for a viewer; where the phase hides its targets only admins get it and
    `metadata`, which has all other columns: for a viewer without those that the scorer reads."""
    environment = await find_environment(parts.database, slug)
    found = phase_of(environment, phase)
    open_to = sees_targets(role, found)
    shows = open_to and role >= Role.RUNNER
    query: dict[str, Any] = {"environment": environment["_id"], "phase": found["name"]}
    if cursor is not None:
        (after,) = decode(cursor, int)
        query["index"] = {"$gt": after}
    rows = await parts.database["items"].find(query).sort("index", 1).limit(limit + 1).to_list(limit + 1)
    page, following = cut(rows, limit, lambda row: encode(row["index"]))
    items = [
        Item(
            id=row["item_id"],
            index=row["index"],
            input=row["input"],
            messages=row["messages"],
            target=row["target"] if shows else None,
            # What the scorer needs of an item may tell its answer: other gold answers, unit tests.
            metadata={**(row.get("metadata") or {}), **(row.get("hints") or {} if shows else {})} if open_to else {},
        )
        for row in page
    ]
    return Page(items=items, next=following)
