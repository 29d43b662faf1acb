"""What of a task's filters and metrics an Assay scorer does, and what not."""

from typing import Any

from pydantic import ValidationError

from services.artifacts.importers.lm_eval.task import Metric, Pipeline, Step, Task
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file, wrong_option
from shared.explain import near
from shared.generation import Generation

_WHOLE = r"(?s)\A(.*)\Z"
_ROUGE = {"rouge1": "rouge1", "rouge2": "rouge2", "rougel": "rougeL", "rougelsum": "rougeLsum", "rouge": "rougeL"}
_SIMPLE = {"take_first", "remove_whitespace", "lowercase", "uppercase"}
_CASES = {"lowercase", "uppercase"}
# All of them are means over items of what `choice` compares, or need log-likelihoods.
_OF_CHOICES = {"acc", "exact_match"}


def scoring_of(
    task: Task, name: str, wanted_filter: str | None, has_references: bool, report: Report
) -> dict[str, Any]:
    """The manifest's `scoring` for a task that generates text; what is lost goes into the report.

    Raises:
        Invalid: a filter or a metric without which the scores would mean something else.
    """
    metric = _metric(task, name, report)
    pattern = _pattern(task, name, wanted_filter, report)
    references = {"references": "references"} if has_references else {}
    if metric.metric in ("exact_match", "acc"):
        return _exact(metric, pattern, references, report)
    if pattern["pattern"] is not None:
        raise wrong_file(
            name,
            f"metric_list: {metric.metric} of what a regex filter takes is not carried over; only exact_match is",
            "metric_list",
        )
    if metric.metric == "bleu":
        report.note("bleu is sacrebleu's, from 0 to 1 where the harness has 0 to 100.")
        return {"scorer": "bleu", **references}
    if metric.metric == "f1":
        report.comparable = False
        report.note("f1 is the token F1 of SQuAD; the harness's metric of that name is over classes.")
        return {"scorer": "f1", **references}
    return {"scorer": "rouge", "variant": _ROUGE[metric.metric.lower()], **references}


def _metric(task: Task, name: str, report: Report) -> Metric:
    metrics = task.metric_list or [Metric(metric="exact_match")]
    if task.metric_list is None:
        report.note("The task names no metric; exact_match it is.")
    known = {"exact_match", "acc", "bleu", "f1", *_ROUGE}
    usable = [metric for metric in metrics if metric.metric in known or metric.metric.lower() in _ROUGE]
    if not usable:
        there = ", ".join(metric.metric for metric in metrics)
        raise wrong_file(
            name,
            f"metric_list has {there}; one of {', '.join(sorted(known))} is needed, or the option scoring",
            "metric_list",
        )
    for metric in metrics:
        if metric is not usable[0]:
            report.drop("metrics", f"The metric {metric.metric} is left out; {usable[0].metric} is what is scored by.")
    return usable[0]


def _pattern(task: Task, name: str, wanted: str | None, report: Report) -> dict[str, Any]:
    """`pattern` and `which` of the regex scorer (no pattern: the whole answer), and whether case is folded."""
    pipelines = {pipeline.name: pipeline for pipeline in task.filter_list or []}
    if wanted is not None and wanted not in pipelines:
        raise wrong_option("filter", f"no filter is called {wanted!r}; {near(wanted, pipelines, 'the filters are')}")
    if not pipelines:
        return {"pattern": None, "which": "first", "folds": False}
    pipeline = pipelines[wanted] if wanted is not None else next(iter(pipelines.values()))
    for other in pipelines:
        if other != pipeline.name:
            report.drop("filters", f"The filter {other} is left out; scores are by the filter {pipeline.name}.")
    return _steps(pipeline, name)


def _steps(pipeline: Pipeline, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {"pattern": None, "which": "first", "folds": False}
    for step in pipeline.filter:
        if step.function == "regex" and found["pattern"] is None:
            found |= _regex(step, pipeline, name)
        elif step.function in _CASES:
            found["folds"] = True
        elif step.function not in _SIMPLE:
            raise wrong_file(
                name,
                f"filter_list: the step {step.function} of the filter {pipeline.name} is not carried over; one regex, and "
                f"{', '.join(sorted(_SIMPLE))} are. Name another filter with the option filter, or give the option scoring",
                "filter_list",
            )
    return found


def _regex(step: Step, pipeline: Pipeline, name: str) -> dict[str, Any]:
    arguments = step.model_extra or {}
    pattern, group = arguments.get("regex_pattern", r"#### (\-?[0-9\.\,]+)"), arguments.get("group_select", 0)
    if not isinstance(pattern, str) or group not in (0, -1):
        raise wrong_file(
            name,
            f"filter_list: the regex of the filter {pipeline.name} needs a text as regex_pattern, and 0 or -1 as group_select "
            "(the first or the last match); others are not carried over",
            "filter_list",
        )
    return {"pattern": pattern, "which": "first" if group == 0 else "last"}


def _exact(metric: Metric, pattern: dict[str, Any], references: dict[str, Any], report: Report) -> dict[str, Any]:
    folds = metric.ignore_case or pattern["folds"]
    ignore = [*(metric.regexes_to_ignore or []), *([r"[0-9]"] if metric.ignore_numbers else [])]
    same = {
        **({"ignore_case": True} if folds else {}),
        **({"ignore_punctuation": True} if metric.ignore_punctuation else {}),
        **references,
    }
    report.note("White space around an answer and its target makes no difference, which it does in the harness.")
    if pattern["pattern"] is None and not ignore:
        return {"scorer": "exact_match", **same}
    return {
        "scorer": "regex",
        "pattern": pattern["pattern"] or _WHOLE,
        "which": pattern["which"],
        **({"ignore": ignore} if ignore else {}),
        **same,
    }


def choice_scoring(task: Task, report: Report) -> dict[str, Any]:
    """`scoring` for a task of output type `multiple_choice`."""
    for metric in task.metric_list or []:
        if metric.metric not in _OF_CHOICES:
            report.drop(
                "metrics", f"The metric {metric.metric} is left out; accuracy over the letters is what is scored by."
            )
    return {"scorer": "choice", "choices": "choices"}


def generation_of(task: Task, name: str, report: Report) -> dict[str, Any]:
    """The manifest's `generation`, with the harness's defaults: greedy, and stopping where a next example would begin.

    Raises:
        Invalid: a parameter that no endpoint takes.
    """
    given = task.generation_kwargs
    if given is None:
        given = {"until": [task.fewshot_delimiter], "do_sample": False}
    generation: dict[str, Any] = {}
    for key, value in given.items():
        match key:
            case "until":
                generation["stop"] = [value] if isinstance(value, str) else value
            case "max_gen_toks" | "max_new_tokens" | "max_tokens" | "max_completion_tokens":
                generation["max_tokens"] = value
            case "do_sample":
                if not value or str(value).lower() == "false":
                    generation["temperature"] = 0.0
            case "temperature" | "top_p" | "seed":
                generation.setdefault(key, value)
            case _:
                report.drop("generation parameters", f"generation_kwargs.{key} is left out.")
    if not generation.get("stop"):
        generation.pop("stop", None)
    if "max_tokens" not in generation:
        report.note(
            "The harness ends an answer after 256 tokens unless it is told otherwise; here the endpoint's own limit holds."
        )
    try:
        Generation.model_validate(generation, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        message = f"generation_kwargs: what becomes {first['loc'][0]} is wrong: {first['msg']}"
        raise wrong_file(name, message, "generation_kwargs") from error
    return generation
