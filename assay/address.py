"""Where the gateway is and with which key it is spoken to."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode, urlsplit

from assay.errors import InvalidInput

DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Address:
    """`url` has no trailing slash; `api_key` never appears in a `repr`."""

    url: str
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def resolve(cls, url: str | None, api_key: str | None, environ: Mapping[str, str] = os.environ) -> Self:
        """What is given, else `ASSAY_URL` and `ASSAY_API_KEY`, else the embedded stack's address on `ASSAY_PORT`.

        Raises `InvalidInput` for what is not an http address.
        """
        named, origin = (url, "url") if url else (environ.get("ASSAY_URL"), "ASSAY_URL")
        if not named:
            named, origin = f"http://127.0.0.1:{environ.get('ASSAY_PORT') or DEFAULT_PORT}", "ASSAY_PORT"
        try:
            parts = urlsplit(named)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise InvalidInput(f"{origin}: {named!r} is not an address such as http://127.0.0.1:{DEFAULT_PORT}")
        key = api_key or environ.get("ASSAY_API_KEY") or None
        if key is not None and not (key.isascii() and key.isprintable()):
            raise InvalidInput("the API key holds characters that no HTTP header can carry")
        return cls(named.rstrip("/").removesuffix("/v1"), key)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def loopback(self) -> bool:
        """Whether the gateway is on this machine, where a proxy from the environment must not come in between."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def websocket(self, path: str, query: Mapping[str, str]) -> str:
        """The websocket address of a path below `/v1`."""
        return f"ws{self.url.removeprefix('http')}/v1{path}" + (f"?{urlencode(query)}" if query else "")
