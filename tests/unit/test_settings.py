"""Settings: their defaults, what is wrong with a wrong one, and the file that lists them."""

import itertools
import logging
import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from shared.settings import Settings, load_settings

EXAMPLE = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
LISTED = dict(re.findall(r"^#(ASSAY_\w+)=(.*)$", EXAMPLE, re.MULTILINE))


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's own environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ASSAY_{name}".upper(), raising=False)


def plain(value: object) -> str:
    """A default as one would write it into the environment."""
    if value is None:
        return ""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def test_the_example_lists_exactly_the_settings_with_their_defaults() -> None:
    defaults = Settings()
    assert {f"ASSAY_{name}".upper(): plain(getattr(defaults, name)) for name in Settings.model_fields} == LISTED


def test_every_setting_of_the_example_has_a_comment() -> None:
    lines = EXAMPLE.splitlines()
    uncommented = [line for before, line in itertools.pairwise(lines) if line[1:] in settings() and before[:2] != "# "]
    assert uncommented == []


def settings() -> set[str]:
    return {f"{name}={value}" for name, value in LISTED.items()}


def test_a_setting_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PORT", "9090")
    monkeypatch.setenv("ASSAY_DATA", "/srv/assay")
    assert load_settings().port == 9090
    assert load_settings().data == Path("/srv/assay")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "http"),
        ("predictors", "0"),
        ("max_upload_mb", "0"),
        ("jobs_max_bytes", "1000"),
        ("sandbox", "none"),
        ("events_max_age_s", "0"),
        ("hf_datasets_url", "datasets-server.huggingface.co"),
    ],
)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ASSAY_{name}".upper(), value)
    with pytest.raises(ValidationError) as failure:
        load_settings()
    assert [error["loc"] for error in failure.value.errors()] == [(name,)]


def test_an_unknown_setting_gets_a_warning_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ASSAY_PREDICTOR", "3")
    monkeypatch.setenv("ASSAY_STACK", "/srv/assay")
    monkeypatch.setenv("ASSAY_URL", "http://127.0.0.1:8080")
    with caplog.at_level(logging.WARNING, "assay"):
        assert load_settings().predictors == 2
    assert [record.args for record in caplog.records] == [("ASSAY_PREDICTOR",)]


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("nats_token", "mongo_url", "s3_secret_key", "api_keys", "secret_key", "hf_token")
    for name in names:
        monkeypatch.setenv(f"ASSAY_{name}".upper(), "do-not-show")
    loaded = load_settings()
    assert "do-not-show" not in repr(loaded) + loaded.model_dump_json()
    assert all(plain(getattr(loaded, name)) == "do-not-show" for name in names)


def test_sizes_in_mebibytes_are_bytes_inside() -> None:
    assert Settings(max_upload_mb=3).max_upload_bytes == 3 * 1024**2
    assert Settings(max_unpacked_mb=5).max_unpacked_bytes == 5 * 1024**2
