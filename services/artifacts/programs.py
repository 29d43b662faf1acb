"""The scoring program of a bundle, checked at upload: its folder or zip, its metadata, its reference data.

The contract is Codabench's (https://docs.codabench.org, "Competition Bundle Structure"): `metadata.yaml`, else `metadata`, at the
program's root has the `command`. Nothing of it is run here.
"""

import posixpath
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from services.artifacts.problems import Problems
from shared.errors import Invalid, TooLarge
from shared.explain import near
from shared.manifest import Manifest
from shared.scoring import ProgramScoring
from shared.unpacking import ArchiveLimits, extract_part, inner_path

METADATA = ("metadata.yaml", "metadata")
_MAX_METADATA_BYTES = 64 * 1024
_EXAMPLE = "command: python3 score.py /app/input /app/output"
_INTERPRETER = re.compile(r"(?:.*/)?(?:python[\d.]*|bash|sh)")
_OWN = re.compile(r"(?:\$(?:program|ingestion_program|\{program\}|\{ingestion_program\})|/app/program|\.)/")
_LEGACY_LINE = re.compile(r"\s*(command|image|docker_image)\s*:\s*(\S.*?)\s*")

Loc = list[str | int]


@dataclass(frozen=True)
class Program:
    """`command` as the metadata has it, `image` the container image that the program was made for."""

    command: str
    image: str | None


class ProgramCheck:
    """Unpacks what a bundle's `scoring` names into `scratch`, as it will be for the run. What is wrong goes to `problems`."""

    def __init__(
        self,
        archive: Path,
        manifest_file: str,
        files: Collection[str],
        scratch: Path,
        limits: ArchiveLimits,
        problems: Problems,
    ) -> None:
        self._archive = archive
        self._manifest_file = manifest_file
        self._files = files
        self._scratch = scratch
        self._limits = limits
        self._problems = problems
        self.used: set[str] = set()

    def read(self, manifest: Manifest, scoring: ProgramScoring) -> Program | None:
        """The program; None where something is wrong with it."""
        folder = self._unpack("program", scoring.program, ["scoring", "program"], METADATA)
        program = None if folder is None else self._metadata(inner_path(scoring.program), folder)
        if scoring.reference is not None:
            self._unpack("reference", scoring.reference, ["scoring", "reference"])
        for index, phase in enumerate(manifest.phases):
            if phase.reference is not None:
                self._unpack(f"reference-{index}", phase.reference, ["phases", index, "reference"])
        if program is None or scoring.image is None:
            return program
        return Program(program.command, scoring.image)

    def _unpack(self, what: str, part: str, loc: Loc, roots: tuple[str, ...] = ()) -> Path | None:
        name, folder = inner_path(part), self._scratch / what
        try:
            if extract_part(self._archive, self._manifest_file, part, folder, roots, self._limits):
                self.used |= {path for path in self._files if path == name or path.startswith(f"{name}/")}
                return folder
        except Invalid as error:
            # Of a zip in the zip: its name goes before.
            found = error.errors or [{"loc": [], "msg": error.detail.replace("bundle", "it", 1)}]
            for one in found:
                self._problems.add([name, *one["loc"]], one["msg"])
            return None
        except TooLarge as error:
            raise TooLarge(f"{name}: {error.detail}") from error
        folders = {path.rpartition("/")[0] for path in self._files if "/" in path}
        zips = {path for path in self._files if path.endswith(".zip")}
        there = near(name, folders | zips, "its folders and zips are") if folders | zips else "it has neither"
        self._problems.add([self._manifest_file, *loc], f"there is no folder or zip {part!r} in the bundle; {there}")
        return None

    def _metadata(self, part: str, folder: Path) -> Program | None:
        file = next((folder / name for name in METADATA if (folder / name).is_file()), None)
        if file is None:
            there = ", ".join(sorted(path.name for path in folder.iterdir())[:20])
            msg = f"is missing; write a line such as '{_EXAMPLE}' into it (the program's folder has {there})"
            self._problems.add(self._place(part, METADATA[0]), msg)
            return None
        try:
            program = read_metadata(file)
        except ValueError as error:
            self._problems.add(self._place(part, file.name), str(error))
            return None
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        script = script_of(shlex.split(program.command))
        if script is not None and script not in files:
            there = near(script, files, "the program's files are")
            self._problems.add([part, file.name], f"command runs {script!r}, which is not there; {there}")
            return None
        return program

    def _place(self, part: str, name: str) -> Loc:
        """Of a file in the program's folder, by its path in the bundle; or in its zip, by both."""
        return [part, name] if part in self._files else [f"{part}/{name}"]


def read_metadata(file: Path) -> Program:
    """Raises ValueError with what is wrong and where. Old metadata that is no YAML, for want of quotes, is read line by line."""
    if file.stat().st_size > _MAX_METADATA_BYTES:
        raise ValueError(f"is larger than {_MAX_METADATA_BYTES:,} bytes")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8: byte at position {error.start + 1}") from error
    values = _values(text)
    command = values.get("command")
    line = next((n for n, one in enumerate(text.splitlines(), 1) if one.lstrip("\"' ").startswith("command")), None)
    if line is None or command is None:
        raise ValueError(
            f"{'has no command' if line is None else f'line {line}: command is empty'}; write '{_EXAMPLE}'"
        )
    if not isinstance(command, str):
        raise ValueError(f"line {line}: command must be one line of text, such as '{_EXAMPLE}'")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"line {line}: command cannot be split into words: {str(error).lower()}") from error
    if not words:
        raise ValueError(f"line {line}: command is empty; write '{_EXAMPLE}'")
    if "\0" in command:
        raise ValueError(f"line {line}: command holds a NUL character")
    image = values.get("image", values.get("docker_image"))
    return Program(command, image if isinstance(image, str) else None)


def script_of(words: list[str]) -> str | None:
    """The file of the program's own that a command runs, by its path in the program's folder; None where that cannot be told."""
    interpreter = _INTERPRETER.fullmatch(words[0]) is not None
    word = next((word for word in words[1:] if not word.startswith("-")), "") if interpreter else words[0]
    if interpreter and any(word in ("-c", "-m") for word in words[1:]):
        return None
    own = _OWN.match(word)
    path = posixpath.normpath(word[own.end() :] if own else word)
    # Elsewhere, a variable's, a program on PATH, an option's value: whether that is there shows only where it runs.
    is_own = own is not None or (interpreter and "." in word)
    return path if is_own and "$" not in path and not path.startswith(("/", "..")) else None


def _values(text: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text)
        if isinstance(values, dict):
            return values
        problem = "is not a mapping"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"{f'line {mark.line + 1}: ' if mark else ''}{error.problem or error.context}"
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        problem = f"is not YAML: {(str(error).splitlines() or [type(error).__name__])[0]}"
    lines = [_LEGACY_LINE.fullmatch(line) for line in text.splitlines()]
    legacy = {found[1]: found[2] for found in reversed(lines) if found}
    if legacy.get("command", "!")[0] in "!&*[{|>":  # none, or YAML's own signs with something wrong after them
        raise ValueError(f"{problem}; write '{_EXAMPLE}'")
    return legacy
