"""Pages out of templates: escaped, hostile characters made visible, under a Content-Security-Policy that knows no inline script."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from gateway.auth import Role
from gateway.web import assets
from shared import texts

HEADERS = {
    # No style attribute either: bars are drawn in SVG, whose sizes are attributes.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # What a page shows changes, and a shared machine's back button must not show it after signing out.
    "Cache-Control": "private, no-store",
}


def page(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """The page of `template` (a file in `templates/`). What every page may use: `path`, `role`, `signed_in`, `asset(name)`."""
    state = request.scope.get("state") or {}
    role: Role | None = state.get("role")
    text = (
        templates()
        .get_template(template)
        .render(
            path=request.url.path,
            role=role or Role.VIEWER,
            may_run=bool(role and role >= Role.RUNNER),
            may_register=bool(role and role >= Role.ADMIN),
            signed_in=state.get("signed_in", False),
            **values,
        )
    )
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})


@cache
def templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=texts.visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=texts.percent,
        count=texts.count,
        duration=texts.duration,
        plain=texts.plain,
        clip=texts.clip,
        seconds=seconds,
        size=size,
        utc=utc,
        iso=iso,
        words=words,
    )
    environment.globals["asset"] = assets.url
    return environment


def seconds(value: float | None) -> str:
    """45.2 as `45.2 s`, 130 as `2 min 10 s`, 7500 as `2 h 5 min`."""
    if value is None:
        return "\u2014"
    if value < 59.95:
        return f"{value:.1f}\u00a0s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60}\u00a0min {whole % 60}\u00a0s"
    return f"{whole // 3600:,}\u00a0h {whole % 3600 // 60}\u00a0min"


def size(value: int) -> str:
    """Bytes, as `1.4 MB` (powers of 1,000)."""
    if value < 1000:
        return f"{value}\u00a0B"
    number = float(value)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95 or unit == "GB":
            return f"{number:,.1f}\u00a0{unit}"
    raise AssertionError


def utc(moment: datetime | None) -> str:
    """As `2026-11-25 14:03 UTC`; `static/times.js` shows it in the reader's own zone."""
    return "\u2014" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def iso(moment: datetime) -> str:
    """RFC 3339, for the `datetime` attribute of a `<time>`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def words(name: str) -> str:
    """`exact_match` as `Exact match`."""
    text = name.replace("_", " ")
    return text[:1].upper() + text[1:]
