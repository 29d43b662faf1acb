"""A competition's files in the environment: its scoring program, reference data, and where the test cases may be."""

import os
import shutil
from collections.abc import Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from services.artifacts.importers.codabench.competition import Competition, Task
from services.artifacts.importers.codabench.items import Place
from services.artifacts.importers.codabench.source import Source
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_option
from shared.explain import Loc
from shared.unpacking import inner_path

_PROGRAM = "scoring_program"
_REFERENCE = "reference_data"


class Files:
    """Carries a competition's files over, each content once and without copying its bytes."""

    def __init__(self, bundle: Source, positions: Mapping[int, int], out: Path) -> None:
        """`positions` are where each task, by its index, stands in `competition.yaml`."""
        self._bundle = bundle
        self._positions = positions
        self._out = out
        self._digests: dict[Path, str] = {}
        self._references: dict[str, str] = {}

    def program(self, tasks: Sequence[Task]) -> str:
        """Carry the scoring program over; gives its name in the bundle. Raises `Invalid` where the tasks have different ones."""
        programs: dict[str, list[Task]] = {}
        for task in tasks:
            programs.setdefault(self._digest(self._program(task)), []).append(task)
        if len(programs) > 1:
            groups = [[task.index for task in group] for group in programs.values()]
            listed = " and ".join(
                f"{indexes} ({group[0].scoring_program})"
                for indexes, group in zip(groups, programs.values(), strict=True)
            )
            raise wrong_option(
                "tasks",
                f"an environment has one scoring program, and these tasks have {len(programs)}: {listed}. "
                f"Import them one after the other, each with a slug of its own: first with tasks {groups[0]}",
            )
        return self._carry(self._program(tasks[0]), _PROGRAM)

    def _program(self, task: Task) -> Path:
        path = self._part(task, "scoring_program")
        assert path is not None, "checked when competition.yaml was read"
        if path.is_file() and path.suffix != ".zip":
            msg = f"scoring_program of task {task.index}: {task.scoring_program!r} is neither a folder nor a zip"
            raise self._bundle.wrong(msg, self._loc(task, "scoring_program"))
        return path

    def reference(self, task: Task) -> str | None:
        """Carry a task's reference data over; gives its name in the bundle, None where it has none."""
        path = self._part(task, "reference_data")
        if path is None:
            return None
        digest = self._digest(path)
        if digest not in self._references:
            number = len(self._references) + 1
            self._references[digest] = self._carry(path, f"{_REFERENCE}-{number}" if number > 1 else _REFERENCE)
        return self._references[digest]

    def places(self, task: Task, competition: Competition, report: Report) -> list[Place]:
        """Where a task's items are: in its input data, else in what a phase of it makes public."""
        path = self._part(task, "input_data")
        if path is not None:
            return [Place(self._bundle.unpacked(path), inner_path(task.input_data or ""))]
        for phase in competition.phases:
            if task.index in phase.tasks and phase.public_data and (path := self._bundle.at(phase.public_data)):
                report.note(
                    f"Task {task.index} has no input_data: its items are those of {phase.public_data}, the phase's public data."
                )
                return [Place(self._bundle.unpacked(path), inner_path(phase.public_data))]
        return []

    def beside(self, task: Task) -> list[Place]:
        """Where a file that the request names may be, too: in the reference data and in the whole bundle."""
        path = self._part(task, "reference_data")
        reference = [] if path is None else [Place(self._bundle.unpacked(path), inner_path(task.reference_data or ""))]
        return [Place(self._bundle.folder, ""), *reference]

    def _part(self, task: Task, what: str) -> Path | None:
        written = getattr(task, what)
        return written and self._bundle.part(written, f"{what} of task {task.index}", self._loc(task, what))

    def _loc(self, task: Task, what: str) -> Loc:
        return ("tasks", self._positions[task.index], what)

    def _carry(self, path: Path, name: str) -> str:
        """Put a folder or a zip into the bundle; a file by itself gets a folder."""
        if path.is_dir():
            shutil.copytree(path, self._out / name, copy_function=os.link)
        elif path.suffix == ".zip":
            name = f"{name}.zip"
            os.link(path, self._out / name)
        else:
            (self._out / name).mkdir()
            os.link(path, self._out / name / path.name)
        return name

    def _digest(self, path: Path) -> str:
        """Of a file's, or a folder's files' names and contents."""
        if path not in self._digests:
            whole = sha256()
            for name, file in files_in(path).items() if path.is_dir() else [(path.name, path)]:
                with file.open("rb") as opened:
                    whole.update(f"{name}\0{file_digest(opened, 'sha256').hexdigest()}\n".encode())
            self._digests[path] = whole.hexdigest()
        return self._digests[path]
