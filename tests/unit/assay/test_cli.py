"""The command line against a fake gateway: output, machine output, exit codes, and what a mistake looks like."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from assay.cli import app
from assay.commands.environments import settings
from assay.commands.evaluations import parameters
from assay.commands.models import pick
from assay.errors import InvalidInput
from assay.session import Session, place
from shared.api import Model
from tests.unit.assay.fakes import Gateway, environment, evaluation, event, event_server, model, page, problem
from tests.unit.assay.fakes import Session as Socket

RUNNER = CliRunner(env={"ASSAY_URL": None, "ASSAY_API_KEY": None, "COLUMNS": "200"})


LOG = [event(1, "queued"), event(2, "started"), event(3, "completed")]


def run(gateway: Gateway, *arguments: str, url: str = "http://127.0.0.1:1") -> Any:
    return RUNNER.invoke(app, ["--url", url, *arguments], obj=Session(transport=gateway.transport, backoff=()))


def test_help_documents_the_exit_codes() -> None:
    result = RUNNER.invoke(app, ["--help"])
    assert result.exit_code == 0
    assert "Exit codes: 0 success; 1 an evaluation failed" in result.stdout


def test_no_gateway_is_one_line_and_exit_4() -> None:
    result = run(Gateway().on("GET /models", httpx.ConnectError("refused")), "model", "list")
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr == "error: no Assay gateway answers at http://127.0.0.1:1; start one with `assay up`\n"


def test_a_wrong_bundle_is_explained_place_by_place(tmp_path: Path) -> None:
    (tmp_path / "environment.yaml").write_text("slug: sums\n")
    errors: list[dict[str, Any]] = [
        {"loc": ["bundle", "dev.jsonl", 12, "answer"], "msg": "is missing"},
        {"loc": ["environment.yaml", "scoring", "scorer"], "msg": "must be one of numeric, choice"},
        {"loc": ["environment.yaml", "phases", 0, "data"], "msg": "line 4: there is no file 'a'", "text": "data: a"},
        {"loc": ["dev.parquet", 3, "answer"], "msg": "row 3: is empty"},
        {"loc": ["environment.yaml"], "msg": "line 2, column 6: expected ':'"},
    ]
    gateway = Gateway().on("POST /environments", problem(422, "the bundle is wrong", errors))
    result = run(gateway, "env", "push", str(tmp_path))
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines() == [
        "error: the bundle is wrong",
        "  dev.jsonl:12: answer: is missing",
        "  environment.yaml: scoring.scorer: must be one of numeric, choice",
        "  environment.yaml:4: phases.0.data: there is no file 'a'",
        "    | data: a",
        "  dev.parquet:3: answer: is empty",
        "  environment.yaml:2: expected ':'",
    ]


REPORT = {
    "format": "table", "source": "rows.csv", "notes": ["Column 'q' was taken.", "A [b]note[/b]."], "comparable": False,
    "comparable_why": "It is another prompt.", "dropped": {"files": 2, "pages": 1},
}  # fmt: skip


def test_an_import_says_what_became_of_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("q,answer\n")
    answer = environment(scoring={"scorer": "numeric"}, imported=REPORT)
    gateway = Gateway().on("POST /environments", httpx.Response(201, json=answer))
    options = (
        "--slug",
        "sums",
        "--set",
        "fields.input=q",
        "--set",
        'phases={"dev": "rows.csv"}',
        "--set",
        "prompt=Say {{ q }}",
    )
    result = run(gateway, "env", "import", "table", str(tmp_path / "rows.csv"), *options)
    assert result.stdout.splitlines() == [
        "sums version abababababab: dev (2 items), test (4 items)",
        "Scores are not comparable with the original's: It is another prompt.",
        "- Column 'q' was taken.",
        "- A [b]note[/b].",
        "Left out: 2 files, 1 pages",
    ]
    sent = gateway.requests[0].content
    asked = b'{"format": "table", "fields": {"input": "q"}, "phases": {"dev": "rows.csv"}, "prompt": "Say {{ q }}", "slug": "sums"}'
    assert asked in sent


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["a=1", "b=true", "c=text", "d=", "e=a=b"], {"a": 1, "b": True, "c": "text", "d": "", "e": "a=b"}),
        (["a.b.c=[1]", "a.d=x"], {"a": {"b": {"c": [1]}, "d": "x"}}),
        (['a={"b": 1}', "a.c=2"], {"a": {"b": 1, "c": 2}}),
    ],
)
def test_options_of_an_import(options: list[str], found: dict[str, Any]) -> None:
    assert settings(options) == found


@pytest.mark.parametrize("option", ["a", "=1", "a..b=1", ".a=1"])
def test_options_that_are_none(option: str, tmp_path: Path) -> None:
    result = run(Gateway(), "env", "import", "table", str(tmp_path), "--set", option)
    assert (result.exit_code, result.stderr.startswith(f"error: --set {option!r}: write KEY=VALUE")) == (3, True)


def test_an_option_within_one_that_has_a_value() -> None:
    with pytest.raises(InvalidInput, match="a has a value already"):
        settings(["a=1", "a.b=2"])


def test_what_the_lines_say_is_not_said_before_them() -> None:
    refusal = problem(422, "limit: must be at least 1", [{"loc": ["limit"], "msg": "must be at least 1"}])
    result = run(started().on("POST /evaluations", refusal), "eval", "sums", "--model", "alpha", "--limit", "0")
    assert result.stderr.splitlines() == ["error: No", "  limit: must be at least 1"]


@pytest.mark.parametrize(
    ("loc", "text"), [(["body", "models", 0], "models.0"), ([], "request"), (["body"], "body"), (["limit"], "limit")]
)
def test_places_are_short(loc: list[str | int], text: str) -> None:
    assert place(loc) == text


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("env", "push", "/nowhere/at/all"), 3),
        (("eval",), 2),
        (("eval", "sums", "--model", "alpha", "--param", "temperature"), 2),
        (("model", "add", "x", "--base-url", "http://a/v1", "--model", "a", "--api-key-env", "ASSAY_TEST_UNSET"), 2),
        (("model", "add", "x", "--base-url", "http://a/v1", "--model", "a", "--max-concurrency", "fast"), 2),
        (("cancel", "7"), 3),
        (("model", "show", "nobody"), 3),
    ],
)
def test_a_mistake_is_a_message_and_never_a_traceback(arguments: tuple[str, ...], code: int) -> None:
    result = run(Gateway().on("GET /models", page(model())), *arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr
    assert "Traceback" not in result.stderr


def test_a_key_comes_from_a_variable_and_is_not_shown() -> None:
    gateway = Gateway().on("POST /models", model(has_api_key=True))
    arguments = ["model", "add", "x", "--base-url", "http://a/v1", "--model", "a", "--api-key-env", "KEY", "--stream"]
    session = Session(transport=gateway.transport)
    result = RUNNER.invoke(app, ["--url", "http://127.0.0.1:1", *arguments], obj=session, env={"KEY": "s3cret"})
    assert result.exit_code == 0
    assert "s3cret" not in result.output
    assert gateway.body("POST /models") == {
        "name": "x", "base_url": "http://a/v1", "model": "a", "api_key": "s3cret", "stream": True,
    }  # fmt: skip


@pytest.mark.parametrize(("given", "sent"), [("auto", "auto"), ("24", 24)])
def test_a_concurrency_is_a_number_or_auto(given: str, sent: object) -> None:
    pacing = {"mode": "auto", "limit": 40, "calls": 12, "refused": 3, "updated_at": "2026-01-02T03:04:05Z"}
    gateway = Gateway().on("POST /models", model())
    gateway.on("GET /models", page(model(max_concurrency="auto", pacing=pacing)))
    result = run(gateway, "model", "add", "x", "--base-url", "http://a/v1", "--model", "a", "--max-concurrency", given)
    assert result.exit_code == 0
    assert gateway.body("POST /models")["max_concurrency"] == sent
    shown = run(gateway, "model", "show", "alpha").stdout
    assert "40 (auto)" in shown
    assert "3 of 12 calls" in shown


def test_models_are_found_by_id_and_by_their_only_name() -> None:
    one, two, twin = (
        Model.model_validate(model(id=i, name=n)) for i, n in (("m1", "alpha"), ("m2", "beta"), ("m3", "beta"))
    )
    assert pick([one, two], "beta") is two
    assert pick([one, two, twin], "m3") is twin
    with pytest.raises(InvalidInput, match="2 models are called 'beta'; say which one by its id: m2, m3"):
        pick([one, two, twin], "beta")
    with pytest.raises(InvalidInput, match="no model is called 'alhpa'; there are: alpha"):
        pick([one, two], "alhpa")


def test_parameters_are_json_where_they_parse() -> None:
    assert parameters(["temperature=0.2", "stop=###", 'x={"a": "b=c"}']) == {
        "temperature": 0.2,
        "stop": "###",
        "x": {"a": "b=c"},
    }


def started(*evaluations: dict[str, Any]) -> Gateway:
    gateway = Gateway().on("GET /models", page(model(), model(id="m2", name="beta")))
    gateway.on("POST /evaluations", httpx.Response(202, json={"group": "g1", "evaluations": [*evaluations]}))
    return gateway


def test_an_evaluation_is_followed_to_its_scores() -> None:
    gateway = started(evaluation(status="queued", metrics=None)).on("GET /evaluations/e1", evaluation())
    with event_server(LOG, Socket(stay=True)) as server:
        result = run(
            gateway, "eval", "sums", "--model", "alpha", "--limit", "4", "--param", "temperature=0", url=server.url
        )
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[:3] == ["#1 alpha  queued", "#1 alpha  running", "#1 alpha  completed"]
    assert "75.00%" in result.stdout
    body = gateway.body("POST /evaluations")
    assert (body["environment"], body["models"], body["limit"], body["params"]) == (
        "sums",
        ["m1"],
        4,
        {"temperature": 0},
    )


def test_a_judge_is_named_like_a_model() -> None:
    gateway = started(evaluation(status="queued"))
    result = run(gateway, "eval", "sums", "--model", "alpha", "--judge", "beta", "--no-watch")
    assert result.exit_code == 0, result.output
    assert gateway.body("POST /evaluations")["judge"] == "m2"


def test_json_leaves_stdout_to_one_document() -> None:
    gateway = started(evaluation(status="queued")).on("GET /evaluations/e1", evaluation())
    with event_server(LOG, Socket(stay=True)) as server:
        result = run(gateway, "eval", "sums", "--model", "alpha", "--json", url=server.url)
    assert [found["status"] for found in json.loads(result.stdout)] == ["completed"]
    assert "#1 alpha  completed" in result.stderr


def test_an_evaluation_that_failed_is_exit_1() -> None:
    failed = evaluation(status="failed", error="no space", metrics=None)
    gateway = started(evaluation(status="queued")).on("GET /evaluations/e1", failed)
    with event_server([LOG[0], event(2, "failed", error="no space")], Socket(stay=True)) as server:
        result = run(gateway, "eval", "sums", "--model", "alpha", url=server.url)
    assert result.exit_code == 1
    assert "failed: no space" in result.stdout


def test_an_evaluation_can_be_started_and_left() -> None:
    result = run(started(evaluation(status="queued")), "eval", "sums", "--model", "alpha", "--no-watch")
    assert (result.exit_code, result.stdout) == (0, "#1 alpha: queued\n")


def test_what_was_never_answered_is_pointed_out() -> None:
    progress = {"done": 4, "total": 4, "infra_error": 2}
    gateway = started(evaluation(status="queued")).on("GET /evaluations/e1", evaluation(progress=progress))
    with event_server(LOG, Socket(stay=True)) as server:
        result = run(gateway, "eval", "sums", "--model", "alpha", url=server.url)
    assert result.exit_code == 0
    assert "#1: 2 samples were never answered (infra_error); `assay redrive 1` calls them again" in result.stderr


def test_watch_writes_the_log_line_by_line() -> None:
    gateway = Gateway().on("GET /evaluations/e1", evaluation()).on("GET /evaluations/#1", evaluation())
    with event_server(LOG, Socket(stay=True)) as server:
        text = run(gateway, "watch", "e1", url=server.url)
        lines = run(gateway, "watch", "e1", "--json", url=server.url)
    assert text.exit_code == lines.exit_code == 0
    assert [line.split()[-1] for line in text.stdout.splitlines()] == ["queued", "started", "completed"]
    assert [json.loads(line)["cursor"] for line in lines.stdout.splitlines()] == ["1", "2", "3"]


def test_json_is_taken_before_and_after_the_command() -> None:
    gateway = Gateway().on("GET /environments", page(environment()))
    before, after = run(gateway, "--json", "env", "list"), run(gateway, "env", "list", "--json")
    assert json.loads(before.stdout) == json.loads(after.stdout)
    assert json.loads(after.stdout)[0]["slug"] == "sums"
    assert "dev (2), test (4)" in run(gateway, "env", "list").stdout


def test_misses_are_asked_for_and_shown_without_escape_sequences() -> None:
    row = {
        "item_id": "7", "index": 6, "input": "6 * 7", "target": "42", "prediction": "41", "output": "It is \x1b[2J41",
        "correct": False, "outcome": "scored", "latency_ms": 12.5,
    }  # fmt: skip
    gateway = Gateway().on("GET /evaluations/1/results", page(row, {**row, "item_id": "8"}))
    result = run(gateway, "results", "#1", "--misses", "--limit", "1")
    assert result.exit_code == 0
    assert dict(gateway.requests[0].url.params)["correct"] == "false"
    assert "It is �[2J41" in result.stdout
    assert len(result.stdout.splitlines()) == 2


def test_files_are_fetched_into_a_folder(tmp_path: Path) -> None:
    file = {"name": "a.txt", "kind": "text", "size": 3, "content_type": "text/plain"}
    file["sha256"] = hashlib.sha256(b"abc").hexdigest()
    gateway = Gateway().on("GET /evaluations/1/files", page(file))
    gateway.on("GET /evaluations/1/files/a.txt", lambda _: httpx.Response(200, content=b"abc"))
    assert "a.txt" in run(gateway, "files", "1").stdout
    assert run(gateway, "files", "1", "--download", str(tmp_path / "new")).exit_code == 0
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"abc"
    taken = run(gateway, "files", "1", "--download", str(tmp_path / "new" / "a.txt"))
    assert taken.exit_code == 3
    assert "File exists" in taken.stderr


def test_the_leaderboard_marks_ties_and_parts() -> None:
    row = {
        "rank": 1, "tied": True, "evaluation": "e1", "number": 1, "model": "m1", "model_name": "alpha", "total": 4,
        "environment_version": "v", "overall_score": 0.5, "accuracy": 0.5, "accuracy_ci95": [0.1, 0.9], "coverage": 1.0,
        "finished_at": None, "scores": {"overall_score": 0.5},
    }  # fmt: skip
    columns = [{"key": "overall_score", "title": "Score"}]
    answer = {"environment": "sums", "phase": "dev", "version": "v", "columns": columns}
    rows = row, {**row, "rank": None, "tied": False, "partial": True, "model_name": "beta"}
    result = run(Gateway().on("GET /environments/sums/leaderboard", {**answer, **page(*rows)}), "leaderboard", "sums")
    first, second = (line.split() for line in result.stdout.splitlines()[2:])
    assert first == ["=1", "alpha", "0.5000", "50.00%", "10.0-90.0%", "100.00%", "4", "#1"]
    assert (second[0], second[1], second[-2]) == ("-", "beta", "(part)")


def test_a_leaderboard_as_csv_after_it_was_changed_by_hand() -> None:
    row = {
        "rank": 1, "evaluation": "e1", "number": 1, "model": "m1", "model_name": "=alpha", "total": 4,
        "environment_version": "v", "overall_score": 0.5, "accuracy": 0.5, "accuracy_ci95": None, "coverage": 1.0,
        "finished_at": None, "scores": {"f1": 0.1}, "intervals": {"f1": [0.0, 0.25]},
    }  # fmt: skip
    answer = {"environment": "sums", "phase": "dev", "version": "v", "columns": [{"key": "f1"}], **page(row)}
    gateway = (
        Gateway()
        .on("GET /environments/sums/leaderboard", answer)
        .on("POST /evaluations/1/leaderboard", evaluation())
        .on("DELETE /evaluations/2/leaderboard", evaluation())
    )
    result = run(gateway, "leaderboard", "sums", "--csv", "--put-on", "#1", "--take-off", "2")
    assert result.exit_code == 0, result.stderr
    assert [line.split(",")[:8] for line in result.stdout.splitlines()] == [
        ["rank", "tied", "model_name", "model", "evaluation", "f1", "f1_low", "f1_high"],
        ["1", "false", "'=alpha", "m1", "1", "0.1", "0.0", "0.25"],
    ]
    assert [request.method for request in gateway.requests] == ["DELETE", "POST", "GET"]
    refused = run(
        Gateway().on("POST /evaluations/3/leaderboard", problem(409, "not by hand")),
        "leaderboard",
        "sums",
        "--put-on",
        "3",
    )
    assert (refused.exit_code, refused.stderr) == (3, "error: not by hand\n")


def test_probe_is_exit_1_where_the_endpoint_does_not_answer() -> None:
    gateway = Gateway().on("GET /models", page(model()))
    gateway.on("POST /models/m1/probe", model(status="unreachable", status_detail="refused"))
    result = run(gateway, "model", "probe", "alpha")
    assert (result.exit_code, "unreachable  refused" in result.stdout) == (1, True)


def test_parked_messages_are_listed_sent_on_and_thrown_away() -> None:
    parked = {
        "id": "7",
        "subject": "predictions.e1",
        "reason": "the prediction cannot be read",
        "parked_by": "scorer",
        "message_id": "e1:3:0:0:0",
        "size": 12,
    }
    gateway = (
        Gateway()
        .on("GET /parked", page(parked))
        .on("POST /parked/7/replay", parked)
        .on("DELETE /parked/7", httpx.Response(204))
    )
    listed = run(gateway, "parked", "list", "--evaluation", "#1")
    assert listed.exit_code == 0
    assert all(text in listed.stdout for text in ("7", "scorer", "e1:3:0:0:0", "the prediction cannot be read"))
    assert gateway.requests[0].url.params["evaluation"] == "1"
    assert run(gateway, "parked", "replay", "7").stdout == "sent on 7 to predictions.e1\n"
    assert run(gateway, "parked", "discard", "7").stdout == "discarded 7\n"
    refused = run(Gateway().on("POST /parked/8/replay", problem(409, "nothing waits for it")), "parked", "replay", "8")
    assert (refused.exit_code, refused.stderr) == (3, "error: nothing waits for it\n")


def test_the_models_of_an_endpoint_are_added_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    answer = {"registered": [model()], "present": [model(id="m2", name="\x1b[2Jbeta")]}
    gateway = Gateway().on("POST /models/endpoint", answer)
    arguments = ("model", "add-all", "http://a/v1", "--model", "x", "--model", "y", "--api-key-env", "MY_KEY")
    result = run(gateway, *arguments)
    assert gateway.body("POST /models/endpoint") == {
        "base_url": "http://a/v1",
        "models": ["x", "y"],
        "api_key": "very-secret",
    }
    assert result.stdout.splitlines()[0] == "alpha is m1: running"
    assert "\x1b" not in result.stdout
    assert result.stdout.splitlines()[1].endswith("beta is m2: it was there already")


def test_local_servers_are_shown_with_the_command_that_adds_their_models() -> None:
    servers = [
        {"server": "Ollama", "base_url": "http://127.0.0.1:11434/v1", "models": ["a", "b"], "registered": ["a"]},
        {"server": "vLLM", "base_url": "http://127.0.0.1:8000/v1", "needs_key": True},
        {"server": "SGLang", "base_url": "http://127.0.0.1:30000/v1", "models": ["c"], "registered": ["c"]},
    ]
    gateway = Gateway().on("POST /models/discover", page(*servers))
    gateway.on("POST /models/endpoint", {"registered": [model(name="b")], "present": [model(name="a")]})
    lines = run(gateway, "model", "discover").stdout
    assert "assay model add-all http://127.0.0.1:11434/v1" in lines
    assert "assay model add-all http://127.0.0.1:8000/v1 --api-key-env VAR" in lines
    assert not gateway.sent("POST /models/endpoint")
    added = run(gateway, "model", "discover", "--add", "--json")
    assert [one["registered"][0]["name"] for one in json.loads(added.stdout)["added"]] == ["b"]
    assert [json.loads(one.content)["base_url"] for one in gateway.sent("POST /models/endpoint")] == [
        "http://127.0.0.1:11434/v1"
    ]
    nothing = run(Gateway().on("POST /models/discover", page()), "model", "discover")
    assert nothing.stdout.startswith("No server answers at the usual ports")
