"""The demo's own parts; the whole of it runs in the end-to-end tests."""

from pathlib import Path

import httpx
import pytest

from assay import demo


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with demo.alone(lock), pytest.raises(demo.DemoError, match="a demo runs already"), demo.alone(lock):
        pass
    with demo.alone(lock):
        assert lock.exists()


def test_only_what_a_demo_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "demo" / "report" / "sample-95").mkdir(parents=True)
    demo.empty(tmp_path / "demo")
    assert [*tmp_path.iterdir()] == []
    (tmp_path / "thesis.txt").write_text("the only copy")
    with pytest.raises(demo.DemoError, match=r"holds 'thesis\.txt', which is no demo's"):
        demo.empty(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_the_sample_endpoint_serves_the_models_and_is_stopped() -> None:
    with demo.sample_endpoint() as base_url:
        answer = httpx.get(f"{base_url}/models", trust_env=False).json()
        assert {served["id"] for served in answer["data"]} == {*demo.MODELS}
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base_url}/models", trust_env=False)
