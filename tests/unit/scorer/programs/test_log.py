"""What of a program's output comes into the log, and all of it into the files."""

from pathlib import Path

from services.scorer.programs.log import AT_LAST, AT_ONCE, IN_ALL, TAIL, WIDTH, ProgramLog
from shared.contracts import Note


class Log(ProgramLog):
    def __init__(self, folder: Path) -> None:
        self.notes: list[Note] = []

        async def say(note: Note) -> None:
            self.notes.append(note)

        super().__init__(folder, "e1", say)

    def said(self) -> list[str]:
        return [note.message for note in self.notes]


async def test_lines_are_told_and_written(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.line("stdout", "one")
    log.line("stderr", "two")
    await log.flush()
    log.line("stdout", "")
    log.line("stdout", "\x1b[31mthree\u202e")
    await log.flush(last=True)
    assert log.said() == ["stdout: one", "stderr: two", "stdout: [U+001B][31mthree[U+202E]"]
    assert [note.level for note in log.notes] == ["info", "warning", "info"]
    assert log.paths["stdout"].read_text() == "one\n\n\x1b[31mthree\u202e\n"
    assert log.paths["stderr"].read_text() == "two\n"
    assert log.tail == ["two"]


async def test_of_a_flood_a_part_is_told_and_its_end(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for number in range(1000):
        log.line("stderr", str(number))
    await log.flush()
    assert log.said() == [f"stderr: {number}" for number in range(AT_ONCE)]
    for number in range(1000, 2000):
        log.line("stderr", str(number))
    await log.flush(last=True)
    assert log.said()[AT_ONCE:-1] == [f"stderr: {number}" for number in range(2000 - AT_LAST, 2000)]
    left_out = 2000 - AT_ONCE - AT_LAST
    assert log.said()[-1] == f"Scoring program: of what it wrote {left_out:,} lines are not shown here"
    assert len(log.paths["stderr"].read_text().splitlines()) == 2000
    assert log.tail == [str(number) for number in range(2000 - TAIL, 2000)]


async def test_a_long_run_has_its_share_and_no_more(tmp_path: Path) -> None:
    log = Log(tmp_path)
    for number in range(IN_ALL + 1):
        log.line("stdout", str(number))
        await log.flush()
    await log.flush(last=True)
    assert len(log.notes) == IN_ALL + 1
    assert log.said()[-1] == "Scoring program: of what it wrote 1 line is not shown here"


async def test_of_a_progress_bar_its_last_state(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.line("stderr", " 10%\r 50%\r100% " + "x" * 1000)
    await log.flush()
    assert log.said() == ["stderr: " + ("100% " + "x" * 1000)[: WIDTH - 1] + "…"]
