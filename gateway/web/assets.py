"""Scripts and styles, under an address that changes with them: `/static/<digest of all>/<name>`, kept by browsers for ever."""

import hashlib
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from shared.errors import NotFound

STATIC = Path(__file__).with_name("static")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@cache
def contents() -> dict[str, bytes]:
    """Every file of the folder by its name, read once."""
    return {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}


@cache
def digest() -> str:
    found = hashlib.sha256()
    for name, data in contents().items():
        found.update(name.encode() + b"\0" + data + b"\0")
    return found.hexdigest()[:16]


def url(name: str) -> str:
    """Where a file is; raises `KeyError` for one that is not there, so that a template cannot name it."""
    if name not in contents():
        raise KeyError(f"there is no {name} in gateway/web/static")
    return f"/static/{digest()}/{name}"


@router.get("/static/{version}/{name}")
async def get_asset(version: str, name: str) -> Response:
    """Modules import each other by relative addresses, so all of a page come from one version."""
    data = contents().get(name)
    if data is None:
        raise NotFound(f"there is no /static/{version}/{name}")
    kept = "public, max-age=31536000, immutable" if version == digest() else "no-store"
    headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return Response(data, headers=headers, media_type=TYPES[Path(name).suffix])


@router.get("/favicon.ico")
async def favicon() -> Response:
    return Response(contents()["icon.svg"], headers={"Cache-Control": "max-age=86400"}, media_type=TYPES[".svg"])
