"""A bundle, or a file to import, on its way in: from a multipart body through a temporary file on disk into the object store's `staging/`."""

import hashlib
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from starlette.datastructures import UploadFile
from starlette.requests import Request

from gateway.exchange import allow_body
from shared.errors import FieldError, Invalid, TooLarge
from shared.settings import Settings
from shared.storage.objects import CHUNK, Objects, ObjectStoreError

logger = logging.getLogger("assay.gateway")

FIELD = "bundle"
IMPORT_FIELD = "import"
MAX_OPTIONS_BYTES = 256 * 1024
"""Of an import, as JSON: they travel in a message of the broker's."""
_ENVELOPE_BYTES = MAX_OPTIONS_BYTES + 64 * 1024
"""What a multipart body may have beside the file."""


@dataclass(frozen=True)
class Upload:
    """What was sent: a file, and the other fields as text. `fields` are those that a browser's form may have."""

    bundle: UploadFile | None
    texts: dict[str, str]

    async def close(self) -> None:
        if self.bundle is not None:
            await self.bundle.close()


def wrong(field: str, message: str) -> Invalid:
    error: FieldError = {"loc": [field], "msg": message}
    return Invalid(f"{field}: {message}", [error])


async def receive(request: Request, settings: Settings, fields: Collection[str] = (IMPORT_FIELD,)) -> Upload:
    """The file of the field `bundle`, spooled to disk, and the texts of `fields`. The caller closes it. Only with such a text may the file
    be missing, as a browser sends it where none was chosen.

    Raises `TooLarge`, `Invalid` naming a missing, repeated or unknown field, and Starlette's own 400 for a broken body.
    """
    why = f"a bundle may have {settings.max_upload_mb} MB (ASSAY_MAX_UPLOAD_MB)"
    allow_body(request, settings.max_upload_bytes + _ENVELOPE_BYTES, why)
    form = await request.form(max_files=8, max_fields=16)
    try:
        return checked(form.multi_items(), settings.max_upload_bytes, why, fields)
    except BaseException:
        await form.close()
        raise


def checked(items: list[tuple[str, UploadFile | str]], limit: int, why: str, fields: Collection[str]) -> Upload:
    names = [name for name, _ in items]
    texts: dict[str, str] = {}
    bundle: UploadFile | None = None
    for name, value in items:
        if name != FIELD and name not in fields:
            raise wrong(name, f"there is no such field; send the file as {FIELD}")
        if names.count(name) > 1:
            raise wrong(name, f"send exactly one {'file' if name == FIELD else 'text'} in this field")
        if isinstance(value, str) == (name == FIELD):
            raise wrong(name, "must be a file, with a filename, and not a text" if name == FIELD else "must be a text")
        if isinstance(value, str):
            texts[name] = value
        elif value.filename or value.size:
            bundle = value
    if bundle is None:
        if any(texts.values()):
            return Upload(None, texts)
        raise wrong(FIELD, "is missing: send exactly one file in this field")
    if (bundle.size or 0) > limit:
        raise TooLarge(f"the bundle is too large: {why}")
    if not bundle.size:
        raise wrong(FIELD, "the file is empty")
    return Upload(bundle, texts)


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
