"""The task YAML of lm-evaluation-harness, as its `TaskConfig` has it (EleutherAI/lm-evaluation-harness, docs/task_guide.md)."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.artifacts.bundles import Limits
from services.artifacts.importers.datafiles import Files, listed
from services.artifacts.importers.source import wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.yamls import Lines, read_yaml
from shared.explain import explained, near
from shared.imports import LmEvalImport

KEYS = "task, doc_to_text and doc_to_target"
_MAX_INCLUDES = 10


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
    problems = Problems()
    documents = {
        name: read_yaml(path, name, limits.max_manifest_bytes, problems, KEYS, lenient=True)
        for name, path in files.items()
        if PurePosixPath(name).suffix in (".yaml", ".yml")
    }
    if not documents:
        raise wrong_file("source", f"has no task YAML; it has: {listed(files)}")
    name = _chosen(documents, options.task)
    data, lines = documents[name]
    for key, what in _CANNOT.items():
        if key in data:
            problems.add([name, key], lines.told((key,), f"{key} is {what}, which is not carried over"))
    problems.raise_any()
    whole = _with_included(name, documents)
    for key, what in _CANNOT.items():
        if whole.get(key) is not None:
            problems.add([name, key], f"{key} (included) is {what}, which is not carried over")
    problems.raise_any()
    try:
        task = Task.model_validate(whole)
    except ValidationError as error:
        for loc, msg in explained(error, whole, Task.model_json_schema()):
            problems.add([name, *loc], lines.told(loc, msg))
        problems.raise_any()
        raise AssertionError("a validation error has errors") from error
    return name, task, sorted(set(task.model_extra or {}) - _IDLE - set(_CANNOT) - {"include"})


def _chosen(documents: Mapping[str, tuple[dict[str, Any], Lines]], wanted: str | None) -> str:
    """The file of the task that the option names, else of the only one."""
    tasks = {name: data["task"] for name, (data, _) in documents.items() if isinstance(data.get("task"), str)}
    if wanted is not None:
        found = [name for name, task in tasks.items() if wanted in (task, name, PurePosixPath(name).stem)]
        if len(found) != 1:
            known = near(wanted, tasks.values(), "the tasks are")
            raise wrong_option("task", f"{'no' if not found else 'more than one'} task is called {wanted!r}; {known}")
        return found[0]
    if len(tasks) == 1:
        return next(iter(tasks))
    groups = [name for name, (data, _) in documents.items() if isinstance(data.get("task"), list)]
    if not tasks:
        if groups:
            raise wrong_file(
                groups[0],
                "is a group of tasks, whose own YAML files are needed; send them and say which with the option task",
                "task",
            )
        raise wrong_file(next(iter(documents)), "task is missing: the name of the task", "task")
    names = ", ".join(sorted(tasks.values())[:20])
    raise wrong_option("task", f"is needed, since there are {len(tasks)} tasks: {names}")


def _with_included(name: str, documents: Mapping[str, tuple[dict[str, Any], Lines]], depth: int = 0) -> dict[str, Any]:
    data, lines = documents[name]
    if (include := data.get("include")) is None:
        return data
    wanted = [include] if isinstance(include, str) else include
    merged: dict[str, Any] = {}
    for one in wanted if isinstance(wanted, list) else [wanted]:
        found = _included(name, one, documents)
        if found is None or depth == _MAX_INCLUDES:
            message = (
                "is not among the YAML files" if found is None else f"leads through more than {_MAX_INCLUDES} files"
            )
            raise wrong_file(
                name, lines.told(("include",), f"include {str(one)[:200]!r} {message}: {listed(documents)}"), "include"
            )
        merged |= _with_included(found, documents, depth + 1)
    return merged | {key: value for key, value in data.items() if key != "include"}


def _included(name: str, wanted: Any, documents: Mapping[str, Any]) -> str | None:
    if not isinstance(wanted, str):
        return None
    beside = str(PurePosixPath(name).parent / wanted.removeprefix("./"))
    last = [other for other in documents if PurePosixPath(other).name == PurePosixPath(wanted).name and other != name]
    return beside if beside in documents else last[0] if len(last) == 1 else None
