"""Command templates of engines: data (`engines.yaml`, and an operator's own file), how they are checked, and what command comes of one. Pure
but for reading the files."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from shared.contracts import EngineTemplate
from shared.errors import AssayError
from shared.explain import Loc, explained, near
from shared.strict import Strict
from shared.yamls import NotRead, parse_yaml

BUILT_IN = Path(__file__).with_name("engines.yaml")
MAX_BYTES = 256 * 1024

Takes = Literal["folder", "file", "s3", "hub", "adapter"]
Condition = Literal["adapter", "no_adapter", "revision", "hub", "local"]
Part = str | dict[Condition, list[str]]
"""An argument, or arguments that are there only where the condition holds."""

PLACEHOLDERS = ("checkpoint", "adapter", "revision", "served_name", "called", "host", "port")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


class TemplateError(AssayError):
    """A file of templates is wrong; the message names the file, the line and the field."""


class Requires(Strict):
    """What must be on the launcher's machine: a program on PATH, or a module of the `python3` there. `get` says how to get it."""

    program: str | None = None
    module: str | None = Field(default=None, pattern=r"^[A-Za-z_]\w*$")
    get: str = Field(min_length=1, max_length=300)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.program is None) == (self.module is None):
            raise ValueError("must have either program or module")
        return self

    def missing(self, path: str | None) -> str | None:
        """What to install, in words; None where it is there. It may start a process: not for the event loop."""
        if self.program is not None:
            there = shutil.which(self.program, path=path) is not None
            return None if there else f"there is no program {self.program} on PATH: {self.get}"
        there = _has_module(self.module or "", path)
        return None if there else f"the python3 on PATH has no module {self.module}: {self.get}"


class Template(Strict):
    """One entry. `command` is an argument list, no shell reads it."""

    title: str = Field(min_length=1, max_length=100)
    takes: list[Takes] = Field(min_length=1)
    requires: Requires
    command: list[Part] = Field(min_length=1, max_length=200)
    called: list[Part] = Field(default=["{served_name}"])
    """What requests must call the model; its parts are joined."""
    ready: str = Field(default="/v1/models", pattern=r"^/\S*$")
    """A path that answers 200 once the engine serves."""
    api: str = Field(default="/v1", pattern=r"^(/\S*[^/\s])?$")
    """Where its OpenAI API begins."""
    leave_out: str | None = None
    """A regular expression for lines of its output that are not kept, such as one for each request."""
    environment: dict[str, str] = Field(default={})
    """What it gets on top of what every engine sees."""
    checkpoint_has: str | None = None
    adapter_has: str | None = None
    """What a folder must hold, such as config.json."""
    checkpoint_file: str | None = None
    adapter_file: str | None = None
    """Where it takes one file and no folder: which file of a folder."""

    @field_validator("command", "called")
    @classmethod
    def _placeholders_are_known(cls, parts: list[Part]) -> list[Part]:
        for text in _texts(parts):
            try:
                names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
            except ValueError as error:
                raise ValueError(f"{text!r}: {error}; braces that are no placeholder are written twice") from error
            for name in names:
                if name not in PLACEHOLDERS:
                    raise ValueError(f"unknown placeholder {{{name}}}; {near(name, PLACEHOLDERS, 'there are')}")
        return parts

    @field_validator("leave_out")
    @classmethod
    def _is_a_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        used = "".join(_texts([*self.command, *self.called]))
        if set(self.takes) == {"adapter"}:
            raise ValueError("takes must have a form of a checkpoint: folder, file, s3 or hub")
        if "{port}" not in used:
            raise ValueError("command must have {port}: the launcher chooses where the engine listens")
        if "{called}" in "".join(_texts(self.called)):
            raise ValueError("called cannot hold {called}")
        if ("adapter" in self.takes) != ("{adapter}" in used):
            raise ValueError("command must have {adapter} where takes has adapter, and only there")
        return self

    def command_for(self, given: Mapping[str, str | None], args: Sequence[str]) -> list[str]:
        """The argument list. `given` has a value for each placeholder but `called`; `revision` and `adapter` may be None. `hub` as the
        checkpoint's form is told by the key `form`."""
        texts = {**given, "called": self.called_for(given)}
        return [_filled(text, texts) for text in _chosen(self.command, given)] + list(args)

    def called_for(self, given: Mapping[str, str | None]) -> str:
        """What requests must call the model."""
        return "".join(_filled(text, given) for text in _chosen(self.called, given))

    def clash(self, args: Sequence[str]) -> str | None:
        """The first of a person's arguments that would set again what the command sets, such as where the engine listens."""
        own = {text for text in _texts(self.command) if text.startswith("-")}
        for arg in args:
            name = arg.partition("=")[0]
            # Most parsers take an option's beginning for the option.
            if name in own or (name.startswith("--") and len(name) > 3 and any(set_.startswith(name) for set_ in own)):
                return name
        return None

    def offered(self, name: str, path: str | None) -> EngineTemplate:
        return EngineTemplate(name=name, title=self.title, takes=list(self.takes), missing=self.requires.missing(path))


def load_templates(own: Path | None) -> dict[str, Template]:
    """The built-in templates, and those of an operator's file, which add to them or take their place.

    Raises:
        TemplateError: the file cannot be read, or something in it is wrong.
    """
    templates = _read(BUILT_IN)
    return templates | _read(own) if own else templates


def _read(path: Path) -> dict[str, Template]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TemplateError(f"{path}: is larger than {MAX_BYTES:,} bytes")
        document, lines = parse_yaml(path.read_bytes(), "an engine's name as each key, such as my-engine")
    except OSError as error:
        raise TemplateError(f"{path}: cannot be read: {error.strerror}") from error
    except NotRead as error:
        raise TemplateError(f"{path}: {error}") from error
    templates = {}
    for name, entry in document.items():

        def wrong(loc: Loc, msg: str, name: str = name) -> TemplateError:
            field = ".".join(map(str, (name, *loc)))
            return TemplateError(f"{path}: {lines.told((name, *loc), f'{field}: {msg}')}")

        if not _NAME.fullmatch(name):
            raise wrong((), "a name has at most 40 lower-case letters, digits, dots, hyphens and underscores")
        try:
            templates[name] = Template.model_validate(entry)
        except ValidationError as error:
            loc, msg = explained(error, entry, Template.model_json_schema())[0]
            raise wrong(loc, msg) from error
    return templates


def _texts(parts: Iterable[Part]) -> list[str]:
    """Every text in it, whatever its condition."""
    found = []
    for part in parts:
        found += [part] if isinstance(part, str) else [text for texts in part.values() for text in texts]
    return found


def _chosen(parts: Iterable[Part], given: Mapping[str, str | None]) -> list[str]:
    """The texts whose condition holds."""
    holds: dict[Condition, bool] = {
        "adapter": given["adapter"] is not None,
        "no_adapter": given["adapter"] is None,
        "revision": given["revision"] is not None,
        "hub": given["form"] == "hub",
        "local": given["form"] != "hub",
    }
    found: list[str] = []
    for part in parts:
        found += (
            [part] if isinstance(part, str) else [text for key, texts in part.items() if holds[key] for text in texts]
        )
    return found


def _filled(text: str, values: Mapping[str, Any]) -> str:
    return text.format_map({name: "" if value is None else value for name, value in values.items()})


def _has_module(name: str, path: str | None) -> bool:
    python = shutil.which("python3", path=path)
    if python is None:
        return False
    program = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    try:
        return subprocess.run([python, "-c", program, name], capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
