"""The task YAML of lm-evaluation-harness, as its `TaskConfig` has it (EleutherAI/lm-evaluation-harness, docs/task_guide.md)."""

import re
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.artifacts.bundles import Limits
from services.artifacts.importers.datafiles import Files, listed, matching
from services.artifacts.importers.source import wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.yamls import read_yaml
from shared.errors import Invalid
from shared.explain import explained, near
from shared.imports import LmEvalImport
from shared.yamls import Lines

KEYS = "task, doc_to_text and doc_to_target"
_MAX_INCLUDES = 10
_MAX_SEARCHED = 256 * 1024  # bytes of a file that is no YAML to us
_TASK_LINE = re.compile(r"""(?m)^["']?task["']?:[ ]*["']?([\w.-]+)""")


class _Config(BaseModel):
    model_config = ConfigDict(extra="allow")


class Step(_Config):
    """One filter of a pipeline; its arguments are `model_extra`."""

    function: str


class Pipeline(_Config):
    name: str = "none"
    filter: list[Step] = Field(min_length=1)


class Metric(_Config):
    metric: str
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False
    regexes_to_ignore: list[str] | None = None


class Shots(_Config):
    """`fewshot_config`: `samples` in place of a split's rows."""

    sampler: str = "default"
    split: str | None = None
    samples: list[dict[str, Any]] | None = None


class Task(_Config):
    task: str
    task_alias: str | None = None
    tag: list[str] = []
    dataset_path: str | None = None
    dataset_name: str | None = None
    dataset_kwargs: dict[str, Any] = {}
    training_split: str | None = None
    validation_split: str | None = None
    test_split: str | None = None
    fewshot_split: str | None = None
    output_type: str = "generate_until"
    description: str = ""
    doc_to_text: str | int
    doc_to_target: str | int | list[Any]
    doc_to_choice: str | list[Any] | dict[str, Any] | None = None
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    num_fewshot: int = Field(default=0, ge=0)
    fewshot_config: Shots = Shots()
    gen_prefix: str | None = None
    generation_kwargs: dict[str, Any] | None = None
    filter_list: list[Pipeline] | None = None
    metric_list: list[Metric] | None = None
    repeats: int = 1

    @field_validator("tag", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value or []

    @field_validator("dataset_kwargs", "fewshot_config", "num_fewshot", "description", mode="before")
    @classmethod
    def _left_out(cls, value: Any, info: Any) -> Any:
        return cls.model_fields[info.field_name].default if value is None else value

    @property
    def evaluated_split(self) -> str | None:
        """The split that is evaluated, as the harness chooses it."""
        return self.test_split or self.validation_split or self.training_split

    @property
    def shots_split(self) -> str | None:
        """The split of the few-shot examples, as the harness chooses it."""
        return self.fewshot_config.split or self.fewshot_split or self.training_split or self.validation_split


# What would change which answers are right, or what is asked, if it were left out.
_CANNOT = {
    "class": "a task written in Python",
    "use_prompt": "a prompt of promptsource",
    "process_docs": "Python that changes the rows",
    "process_results": "Python that scores",
    "custom_dataset": "Python that makes the rows",
    "doc_to_image": "images",
    "doc_to_audio": "sound",
    "formats": "a named prompt format",
    "scorer": "a named scorer",
}
# What makes no difference here.
_IDLE = {
    "metadata",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "batch_size",
    "group_alias",
    "group",
    "unsafe_code",
}


def read_task(files: Files, options: LmEvalImport, limits: Limits) -> tuple[str, Task, list[str]]:
    """The task that is meant, with what it includes: the name of its file, the task, and its keys that are not known here.

    Raises:
        Invalid: there is none, or several; or what is wrong with it, by file, line and key.
    """
    documents = _Documents(files, limits)
    name = documents.chosen(options.task)
    whole = documents.whole(name)
    lines = documents.read(name)[1]
    problems = Problems()
    for key in _CANNOT.keys() & whole.keys():
        if whole[key] is not None:
            problems.add([name, key], lines.told((key,), f"{key} is {_CANNOT[key]}, which is not carried over"))
    problems.raise_any()
    try:
        task = Task.model_validate(whole)
    except ValidationError as error:
        for loc, msg in explained(error, whole, Task.model_json_schema()):
            problems.add([name, *loc], lines.told(loc, msg))
        problems.raise_any()
        raise AssertionError("a validation error has errors") from error
    return name, task, sorted(set(task.model_extra or {}) - _IDLE - set(_CANNOT))


class _Documents:
    """The YAML files of a source, each read when it is needed: what is wrong with a task that nobody asked for is no matter."""

    def __init__(self, files: Files, limits: Limits) -> None:
        self._files, self._limits = files, limits
        self._read: dict[str, tuple[dict[str, Any], Lines]] = {}

    def read(self, name: str) -> tuple[dict[str, Any], Lines]:
        if name not in self._read:
            most, problems = self._limits.max_manifest_bytes, Problems()
            self._read[name] = read_yaml(self._files[name], name, most, problems, KEYS, lenient=True)
        return self._read[name]

    def chosen(self, wanted: str | None) -> str:
        """The file of the task that the option names, else of the only one."""
        found = [name for name in self._files if PurePosixPath(name).suffix in (".yaml", ".yml")]
        if not found:
            raise wrong_file("source", f"has no task YAML; it has: {listed(self._files)}")
        tasks = {name: task for name in found if (task := self._task(name, alone=len(found) == 1)) is not None}
        if wanted is not None:
            named = [name for name, task in tasks.items() if wanted in (task, name, PurePosixPath(name).stem)]
            if len(named) != 1:
                which = "more than one" if named else "no"
                known = near(wanted, tasks.values(), "the tasks are")
                raise wrong_option("task", f"{which} task is called {wanted!r}; {known}")
            return named[0]
        if len(tasks) > 1:
            names = ", ".join(sorted(tasks.values())[:20])
            raise wrong_option("task", f"is needed, since there are {len(tasks)} tasks: {names}")
        if not tasks:
            raise wrong_file(
                found[0],
                "task must be the name of a task; of a group, send the YAML of its tasks, and name one",
                "task",
            )
        return next(iter(tasks))

    def _task(self, name: str, *, alone: bool) -> str | None:
        """What the file calls its task; a file that cannot be read may still say so in a line."""
        try:
            task = self.read(name)[0].get("task")
        except Invalid:
            if alone:
                raise
            text = self._files[name].read_bytes()[:_MAX_SEARCHED].decode(errors="replace")
            task = found[1] if (found := _TASK_LINE.search(text)) else None
        return task if isinstance(task, str) else None

    def whole(self, name: str, depth: int = 0) -> dict[str, Any]:
        """The mapping of a file, over those that it includes."""
        data, lines = self.read(name)
        include = data.get("include")
        merged: dict[str, Any] = {}
        for one in include if isinstance(include, list) else [] if include is None else [include]:
            found = self._included(name, one)
            if found is None or depth == _MAX_INCLUDES:
                why = "is not in the source" if found is None else f"leads through more than {_MAX_INCLUDES} files"
                message = f"include {str(one)[:200]!r} {why}; there are: {listed(self._files)}"
                raise wrong_file(name, lines.told(("include",), message), "include")
            merged |= self.whole(found, depth + 1)
        return merged | {key: value for key, value in data.items() if key != "include"}

    def _included(self, name: str, wanted: Any) -> str | None:
        """A file beside this one, whatever its suffix; else the one with the same last name."""
        if not isinstance(wanted, str):
            return None
        found = matching(self._files, wanted, str(PurePosixPath(name).parent))
        return found[0] if len(found) == 1 else None
