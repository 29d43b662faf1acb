"""Chromium, or Chrome, on PATH; else Debian's, unpacked into a private folder with the libraries and fonts that it needs."""

import os
import shutil
import sys
from pathlib import Path
from xml.sax.saxutils import escape

from deploy.embedded.errors import StackError
from deploy.embedded.parts import debian_package

NAMES = ("chromium", "google-chrome", "google-chrome-stable")

ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers, where Chromium's own sandbox cannot start
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

FONTS = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>{folders}<dir>/usr/share/fonts</dir><cachedir>{cache}</cachedir>
<match target="pattern">
<test qual="all" name="family" compare="not_eq"><string>sans-serif</string></test>
<test qual="all" name="family" compare="not_eq"><string>serif</string></test>
<test qual="all" name="family" compare="not_eq"><string>monospace</string></test>
<edit name="family" mode="append_last"><string>sans-serif</string></edit>
</match>
<alias><family>sans-serif</family><prefer><family>Liberation Sans</family><family>DejaVu Sans</family></prefer></alias>
<alias><family>monospace</family><prefer><family>Liberation Mono</family><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""
"""Without the system's own rules nothing says which font `system-ui` or `sans-serif` is, and one with serifs comes first."""


def find_chromium() -> tuple[Path, dict[str, str]]:
    """The program, and the environment that it is to be started with."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found:
        return Path(found), dict(os.environ)
    folder = debian_package("chromium", print, with_dependencies=True)
    letters = debian_package("fonts-liberation", print, with_dependencies=False)
    folders = "".join(f"<dir>{escape(str(root))}/usr/share/fonts</dir>" for root in (folder, letters))
    fonts = folder / "fonts.conf"
    fonts.write_text(FONTS.format(folders=folders, cache=escape(str(folder / "fontcache"))))
    # Some packages keep libraries in folders of their own, which they find by an absolute path where they are installed.
    libraries = sorted({path.parent for root in ("lib", "usr/lib") for path in (folder / root).rglob("*.so*")})
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
        "FONTCONFIG_FILE": str(fonts),
    }
    return folder / "usr/lib/chromium/chromium", environment


if __name__ == "__main__":  # before the tests, none of which is to wait for a download
    try:
        find_chromium()
    except StackError as error:
        sys.exit(str(error))
