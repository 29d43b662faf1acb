"""The real parts for tests: NATS, MongoDB and an S3 store, and the whole stack. Never a mock of the part under test."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.embedded.ports import free
from deploy.embedded.stack import Stack
from shared.scoring import installed_scoring
from shared.settings import Settings
from tests.datasets_server import Hub, serving
from tests.running import MARKED_KEY, MARKED_TOKEN, RunningStack

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "tests" / "plugins"
GSM8K = ROOT.parent / "shared" / "data" / "gsm8k" / "test.jsonl"


def docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of running stores: containers where a Docker engine answers, else the embedded ones."""
    with ExitStack() as stack:
        if docker_answers():
            yield _containers(stack)
            return
        embedded = Stack(tmp_path_factory.mktemp("stores"), services=())
        embedded.up()
        stack.callback(embedded.down)
        found = embedded.environment
        yield Settings(
            nats_url=found["ASSAY_NATS_URL"],
            nats_token=SecretStr(found["ASSAY_NATS_TOKEN"]),
            mongo_url=SecretStr(found["ASSAY_MONGO_URL"]),
            s3_endpoint=found["ASSAY_S3_ENDPOINT"],
            s3_access_key=found["ASSAY_S3_ACCESS_KEY"],
            s3_secret_key=SecretStr(found["ASSAY_S3_SECRET_KEY"]),
        )


def _containers(stack: ExitStack) -> Settings:
    from testcontainers.minio import MinioContainer
    from testcontainers.mongodb import MongoDbContainer
    from testcontainers.nats import NatsContainer

    nats = stack.enter_context(NatsContainer("nats:2.10", jetstream=True))
    mongo = stack.enter_context(MongoDbContainer("mongo:7"))
    minio = stack.enter_context(MinioContainer())
    found = minio.get_config()
    return Settings(
        nats_url=nats.nats_uri(),
        mongo_url=SecretStr(mongo.get_connection_url()),
        s3_endpoint=f"http://{found['endpoint']}",
        s3_access_key=found["access_key"],
        s3_secret_key=SecretStr(found["secret_key"]),
    )


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    """The datasets server that the stack fetches from, without a dataset but those that tests put there."""
    with serving(Hub()) as hub:
        yield hub


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, hub: Hub) -> Iterator[RunningStack]:
    """The whole embedded stack with a sample endpoint, shared by all end-to-end tests: a start takes twelve seconds of CPU time."""
    with (
        RunningStack(
            tmp_path_factory.mktemp("stack"),
            ASSAY_HF_DATASETS_URL=hub.url,
            ASSAY_HF_TOKEN=MARKED_TOKEN,
            ASSAY_HF_ROUTER_URL=f"http://127.0.0.1:{free(1)[0]}/v1",  # where a test may serve what stands for Hugging Face's router
            ASSAY_SCORER_PROCESSES="2",
            MARKED_API_KEY=MARKED_KEY,
        ) as running
    ):
        yield running


@pytest.fixture(scope="session")
def gsm8k() -> Path:
    """The GSM8K test split: real input that is not part of the project."""
    if not GSM8K.exists():
        pytest.skip("the GSM8K data set is not beside this checkout (../shared/data/gsm8k/test.jsonl)")
    return GSM8K


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scorers of `tests/plugins` are installed, in this process and in those that it starts."""
    monkeypatch.syspath_prepend(PLUGINS)
    monkeypatch.setenv("PYTHONPATH", str(PLUGINS))
    installed_scoring.cache_clear()
    yield
    installed_scoring.cache_clear()
