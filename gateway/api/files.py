"""An evaluation's files, streamed from the object store."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from gateway import examples
from gateway.auth import VIEWER, CurrentRole, sees_targets
from gateway.lookups import find_evaluation
from gateway.openapi import example, problems
from gateway.parts import PartsOf
from gateway.problems import Forbidden
from shared.api import File, Page
from shared.contracts import FileEntry
from shared.errors import NotFound
from shared.storage.objects import Objects

router = APIRouter(tags=["evaluations"], responses=problems(400, 401, 403, 404, 422, 503))

_FIELDS = {"number": 1, "files": 1, "hide_targets": 1, "phase": 1, "scoring.scorer": 1}

SAFE_HEADERS = {
    # A report shows what a model wrote: no script, nothing loaded, and no access to the gateway's own pages.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    # The same address has other bytes after a redrive.
    "Cache-Control": "private, no-cache",
}


@router.get(
    "/evaluations/{evaluation}/files",
    summary="List files",
    dependencies=[VIEWER],
    responses=example(200, "What there is", examples.page(examples.FILE)),
)
async def list_files(evaluation: str, parts: PartsOf) -> Page[File]:
    """`submission.zip` is there from `running` on, the others from `completed` on."""
    document = await find_evaluation(parts.database, evaluation, _FIELDS)
    return Page(items=[File(**file) for file in document.get("files", [])])


@router.get(
    "/evaluations/{evaluation}/files/{name}",
    summary="One file",
    dependencies=[VIEWER],
    response_class=Response,
    responses={
        200: {
            "description": "Its bytes, with its own content type and its sha256 as the ETag",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "Unchanged since the ETag in If-None-Match"},
    },
)
async def get_file(
    evaluation: str,
    name: str,
    parts: PartsOf,
    role: CurrentRole,
    download: Annotated[bool, Query(description="Send it as an attachment.")] = False,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """`scoring_output.zip` of a scoring program is an admin's where the phase hides its targets: the program may tell them in it."""
    document = await find_evaluation(parts.database, evaluation, _FIELDS)
    files = [FileEntry.model_validate(entry) for entry in document.get("files", [])]
    file = next((entry for entry in files if entry.name == name), None)
    if file is None:
        there_are = ", ".join(entry.name for entry in files) or "none yet"
        raise NotFound(f"evaluation #{document['number']} has no file {name}; there are: {there_are}")
    of_program = file.kind == "scoring_output" and document["scoring"]["scorer"] == "program"
    if of_program and not sees_targets(role, document):
        raise Forbidden(
            f"this needs the role admin: phase {document['phase']} hides its targets, and a scoring program may tell them in {name}"
        )
    headers = {**SAFE_HEADERS, "ETag": f'"{file.sha256}"'}
    if if_none_match and is_match(if_none_match, file.sha256):
        return Response(status_code=304, headers=headers)
    if download:
        headers["Content-Disposition"] = f'attachment; filename="evaluation-{document["number"]}-{file.name}"'
    headers["Content-Length"] = str(file.size)
    return await streamed(parts.objects, file.key, headers, file.content_type)


async def streamed(objects: Objects, key: str, headers: dict[str, str], content_type: str) -> StreamingResponse:
    """An object as an answer."""
    chunks = objects.stream(key)
    # Taken before the answer begins, so that a store that does not answer is a 503 and no torn file.
    first = await anext(chunks, b"")

    async def body() -> AsyncGenerator[bytes, None]:
        yield first
        async for chunk in chunks:
            yield chunk

    return StreamingResponse(body(), headers=headers, media_type=content_type)


def is_match(if_none_match: str, sha256: str) -> bool:
    """Whether `If-None-Match` (RFC 9110, section 13.1.2) names this version of a file."""
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or f'"{sha256}"' in tags
