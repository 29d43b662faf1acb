"""What a benchmark found: on the terminal, and as a section of `RESULTS.md` that the next run of the same benchmark replaces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rich.table
from rich.console import Console
from rich.text import Text

from shared.errors import AssayError

FILE = Path(__file__).with_name("RESULTS.md")

HEAD = """# Results

`make bench` measures all of this (`make bench-peers` the part about other tools, `make chaos` the part about storms) and writes
this page. Each section says what is measured, on which machine and with which command, and is replaced by the next run of its benchmark.

Everything runs on one machine: the stack, the endpoint and the client share its cores, so a figure says what the whole set does
together, and a machine that others use makes it noisy. Read ratios between rows of one table rather than rows alone: they were
measured in turn, in the same minute.
"""


@dataclass(frozen=True)
class Table:
    """Rows of texts; the first column is left-aligned, the others are numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        marks = [":---", *["---:"] * (len(self.columns) - 1)]
        lines = [f"| {' | '.join(cells)} |" for cells in (self.columns, marks, *self.rows)]
        return "\n".join([f"**{self.title}**", "", *lines])

    def rendered(self) -> rich.table.Table:
        table = rich.table.Table(title=self.title, title_justify="left")
        for position, column in enumerate(self.columns):
            table.add_column(column, justify="right" if position else "left")
        for row in self.rows:
            table.add_row(*map(Text, row))
        return table


@dataclass(frozen=True)
class Section:
    """One benchmark's outcome. `name` is its word on the command line, `what` says how to read it (markdown)."""

    name: str
    title: str
    what: str
    tables: Sequence[Table]

    def markdown(self, provenance: str) -> str:
        """`provenance`: the command, the date, the machine."""
        return "\n\n".join([f"## {self.title}", self.what, *(table.markdown() for table in self.tables), provenance])


def show(section: Section, out: Console) -> None:
    """On the terminal."""
    out.print()
    for table in section.tables:
        out.print(table.rendered())
    out.print(Text(section.what), style="dim")


def replace_section(page: str, name: str, body: str) -> str:
    """The page with this section's text in the place of the former one, or at its end.

    Raises `AssayError` where the page has the section's first mark and not its last, as after a merge gone wrong.
    """
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    if not found:
        return f"{page.rstrip()}\n\n{begin}{body}{end}"
    _, closed, after = rest.partition(end)
    if not closed:
        raise AssayError(f"the page has {begin.strip()!r} without {end.strip()!r} after it; delete that section")
    return f"{before}{begin}{body}{end}{after}"


def save(section: Section, provenance: str, file: Path = FILE) -> None:
    """Replace the section in the results' page; the words before the sections are written anew."""
    page = file.read_text() if file.exists() else ""
    at = page.find("<!-- ")
    sections = page[at:] if at >= 0 else ""
    file.write_text(replace_section(f"{HEAD}\n{sections}", section.name, section.markdown(provenance)))
