"""`assay model ...`: tags, prices, versions, what is published, and the models file."""

from pathlib import Path

from tests.unit.assay.fakes import NOW, Gateway, model, page
from tests.unit.assay.test_cli import run


def test_a_model_is_registered_with_all_that_can_be_said_of_it() -> None:
    gateway = Gateway().on("POST /models", model())
    given = "--tag math --tag 7b --owner me --key-variable A_API_KEY --price-input 0.5 --price-output 0"
    run(gateway, "model", "add", "x", "--base-url", "http://a/v1", "--model", "a", *given.split())
    assert gateway.body("POST /models") == {
        "name": "x", "base_url": "http://a/v1", "model": "a", "tags": ["math", "7b"], "owner": "me",
        "api_key_env": "A_API_KEY", "price": {"input": 0.5, "output": 0.0},
    }  # fmt: skip


def test_a_model_shows_its_owner_price_and_whether_it_is_offered() -> None:
    fields = {"owner": "me", "tags": ["math", "7b"], "price": {"input": 0.5}, "api_key_env": "A_API_KEY"}
    gateway = Gateway().on("GET /models", page(model(withdrawn_at=NOW, settings_version=3, **fields)))
    shown = run(gateway, "model", "show", "alpha").stdout
    for text in ("math, 7b", "me", "$0.5 in a million tokens", "in A_API_KEY", "withdrawn ", "version 3"):
        assert text in shown


def test_a_list_with_those_that_were_withdrawn_says_which_they_are() -> None:
    gateway = Gateway().on("GET /models", page(model(), model(id="m2", name="old", withdrawn_at=NOW)))
    _, kept, withdrawn = run(gateway, "model", "list", "--withdrawn").stdout.splitlines()
    assert ("withdrawn" in kept, "running, withdrawn" in withdrawn) == (False, True)


def test_the_versions_of_a_models_settings_are_a_table_of_changes() -> None:
    changes = [
        {"name": "timeout_s", "before": 60, "after": 120},
        {"name": "price", "before": None, "after": {"input": 0.5, "output": 1}},
    ]
    row = {"version": 2, "created_at": NOW, "settings": {}, "changes": changes}
    gateway = Gateway().on("GET /models", page(model())).on("GET /models/m1/versions", page(row))
    assert (
        "timeout_s: 60 to 120, price: none to input 0.5, output 1" in run(gateway, "model", "versions", "alpha").stdout
    )


def test_a_model_is_published_and_withdrawn_by_its_name() -> None:
    gateway = Gateway().on("GET /models", page(model()))
    gateway.on("POST /models/m1/publish", model()).on("POST /models/m1/withdraw", model())
    assert run(gateway, "model", "publish", "alpha").stdout == "alpha is published\n"
    assert run(gateway, "model", "withdraw", "alpha").stdout == "alpha is withdrawn\n"


def test_a_models_file_is_checked_without_a_gateway(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models:\n  - {name: a, base_url: 'http://127.0.0.1:1/v1', model: m}\n")
    right = run(Gateway(), "model", "check", str(file))
    assert (right.exit_code, right.stdout) == (0, "models.yaml is right: 1 model: a\n")
    file.write_text("models:\n  - name: a\n    base_url: http://127.0.0.1:1/v1\n    modell: m\n")
    wrong = run(Gateway(), "model", "check", str(file))
    assert wrong.exit_code == 1
    assert "models.yaml:4: models.0.modell: unknown key 'modell'; did you mean 'model'?" in wrong.stderr
    assert "models.yaml:2: models.0.model: model is missing" in wrong.stderr
    missing = run(Gateway(), "model", "check", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 3
    assert "cannot be read: No such file or directory" in missing.stderr
