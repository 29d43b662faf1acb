"""A competition's pages as one overview in markdown."""

from pathlib import Path

from services.artifacts.importers.codabench.competition import Competition
from services.artifacts.importers.codabench.source import Source
from services.artifacts.importers.report import Report

OVERVIEW = "overview.md"


def write_overview(bundle: Source, competition: Competition, out: Path, max_bytes: int, report: Report) -> bool:
    """Each page under its title; gives whether there is anything."""
    parts: list[str] = []
    for page in competition.pages or ():
        path = bundle.at(page.file)
        if path is None or not path.is_file():
            report.drop("pages", f"The page {page.file!r} is not in the bundle.")
            continue
        text = path.read_bytes()[: max_bytes + 1].decode("utf-8-sig", errors="replace")
        if path.suffix.lower() in (".html", ".htm"):
            text = _markdown(text, page.file, report)
        if text.strip():
            parts.append(f"## {page.title}\n\n{text.strip()}" if page.title else text.strip())
    whole = "\n\n".join(parts).replace("\0", "").encode()
    if len(whole) > max_bytes:
        report.note(f"The pages were cut to {max_bytes:,} bytes.")
        whole = whole[:max_bytes].decode(errors="ignore").encode()
    if whole:
        (out / OVERVIEW).write_bytes(whole)
    return bool(whole)


def _markdown(text: str, name: str, report: Report) -> str:
    # Here, since they take a tenth of a second that every other upload does without.
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    try:
        page = BeautifulSoup(text, "html.parser")
        for unshown in page(["head", "script", "style", "img", "iframe"]):
            unshown.decompose()
        return str(MarkdownConverter(heading_style="ATX").convert_soup(page))
    except RecursionError:
        report.drop("pages", f"The page {name!r} is nested too deeply to be read.")
        return ""
