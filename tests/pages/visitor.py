"""Somebody in front of a browser window, who notices what must never happen on any page."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request

in_each_look = pytest.mark.parametrize(
    ("width", "dark"),
    [
        pytest.param(1440, False, id="1440-light"),
        pytest.param(390, True, id="390-dark"),
        pytest.param(1440, True, id="1440-dark", marks=pytest.mark.large),
        pytest.param(390, False, id="390-light", marks=pytest.mark.large),
    ],
)
"""Both widths and both themes, and in `make test-large` each width in each theme: axe takes most of the time of tests of pages."""


class Visitor:
    """One window. `close` fails where a page raised an error, broke its Content-Security-Policy, asked another host or opened a dialog."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        width: int = 1440,
        height: int = 1000,
        dark: bool = False,
        script: bool = True,
    ) -> None:
        self.url = url
        self.expected: list[str] = []
        """Patterns of console errors that the test provokes."""
        self.errors: list[str] = []
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
            accept_downloads=True,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._asked_to_answer)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, self.url.replace("http", "ws", 1), "data:", "blob:")):
            self.errors.append(f"asked elsewhere: {request.url}")

    def _asked_to_answer(self, dialog: Dialog) -> None:
        self.errors.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def go(self, path: str) -> Page:
        self.page.goto(f"{self.url}{path}")
        return self.page

    def violations(self) -> list[str]:
        """What axe finds on the page that is shown: a line a violation, with the element."""
        # Of what is as it should be, only that it was looked at: to list it all takes as long as to find it.
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        return [f"{rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]

    def overflows(self) -> bool:
        """Whether the page itself scrolls sideways."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def close(self) -> None:
        self.context.close()
        unexpected = [error for error in self.errors if not any(re.search(wanted, error) for wanted in self.expected)]
        assert unexpected == [], f"the page said: {unexpected}"
