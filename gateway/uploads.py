"""A bundle on its way in: from a multipart body through a temporary file on disk into the object store's `staging/`."""

import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

from starlette.datastructures import UploadFile
from starlette.requests import Request

from gateway.exchange import allow_body
from shared.errors import FieldError, Invalid, TooLarge
from shared.settings import Settings
from shared.storage.objects import CHUNK, Objects, ObjectStoreError

logger = logging.getLogger("assay.gateway")

FIELD = "bundle"
_ENVELOPE_BYTES = 64 * 1024
"""What a multipart body may have beside the file."""


def wrong(field: str, message: str) -> Invalid:
    error: FieldError = {"loc": [field], "msg": message}
    return Invalid(f"{field}: {message}", [error])


async def receive_bundle(request: Request, settings: Settings) -> UploadFile:
    """The file of the field `bundle`, spooled to disk. The caller closes it.

    Raises `TooLarge`, `Invalid` naming a missing, repeated or unknown field, and Starlette's own 400 for a broken body.
    """
    why = f"a bundle may have {settings.max_upload_mb} MB (ASSAY_MAX_UPLOAD_MB)"
    allow_body(request, settings.max_upload_bytes + _ENVELOPE_BYTES, why)
    form = await request.form(max_files=8, max_fields=8)
    try:
        return only_bundle(form.multi_items(), settings.max_upload_bytes, why)
    except BaseException:
        await form.close()
        raise


def only_bundle(fields: list[tuple[str, UploadFile | str]], limit: int, why: str) -> UploadFile:
    for name, _ in fields:
        if name != FIELD:
            raise wrong(name, f"there is no such field; send the zip as {FIELD}")
    if len(fields) != 1:
        raise wrong(FIELD, "send exactly one zip file in this field")
    bundle = fields[0][1]
    if isinstance(bundle, str):
        raise wrong(FIELD, "must be a file, with a filename, and not a text")
    if (bundle.size or 0) > limit:
        raise TooLarge(f"the bundle is too large: {why}")
    if not bundle.size:
        raise wrong(FIELD, "the file is empty")
    return bundle


async def hash_of_bundle(bundle: UploadFile) -> str:
    """sha256 in hex."""
    digest = hashlib.sha256()
    while chunk := await bundle.read(CHUNK):
        digest.update(chunk)
    await bundle.seek(0)
    return digest.hexdigest()


async def stage(bundle: UploadFile, objects: Objects) -> str:
    """Put the bundle into the object store; the key under which it is."""
    assert bundle.size is not None

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await bundle.read(CHUNK):
            yield chunk

    key = f"staging/{uuid4().hex}.zip"
    try:
        await objects.put_stream(key, chunks(), bundle.size, "application/zip")
    except BaseException:
        await unstage(key, objects)
        raise
    return key


async def unstage(key: str, objects: Objects) -> None:
    """Remove what nobody will register. A store that is away keeps it; that is no reason for another error."""
    with suppress(ObjectStoreError):
        await objects.remove(key)
