"""The one settings class. Every value is an environment variable with the prefix `ASSAY_`; `.env.example` lists them."""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.key_variables import KeyVariables, read_patterns
from shared.networks import Networks, is_loopback, read_networks


class Settings(BaseSettings):
    """What a process is told from outside. Services read only what concerns them: a predictor needs `nats_url` and `s3_*`."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="ignore")

    # The real parts
    nats_url: str = "nats://127.0.0.1:4222"
    nats_token: SecretStr | None = None
    mongo_url: SecretStr = SecretStr("mongodb://127.0.0.1:27017")
    mongo_database: str = "assay"
    s3_endpoint: str = "http://127.0.0.1:9000"
    s3_access_key: str = "assay"
    s3_secret_key: SecretStr = SecretStr("")
    s3_bucket: str = "assay"
    s3_region: str = "us-east-1"

    # The gateway
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    api_keys: SecretStr = SecretStr("")
    """`role:key,role:key`; roles `viewer`, `runner`, `admin`. Empty: no auth, and only a loopback address is served."""
    max_upload_mb: int = Field(default=512, ge=1)
    max_unpacked_mb: int = Field(default=4096, ge=1)

    # Models
    endpoint_allow: str = ""
    endpoint_deny: str = ""
    """Networks, separated by commas, see `shared.networks`."""
    key_variables: str = "*_API_KEY,HF_TOKEN"
    """Variables of the predictors' environment that a model may name as its key, see `shared.key_variables`."""
    models_file: Path | None = None
    """YAML with the platform models that an operator keeps; read again when it changes."""
    probe_every_s: float = Field(default=60.0, ge=0)
    """How often a model that answers and that nobody calls is asked for its list of models; 0: never."""

    engines_at_once: int = Field(default=2, ge=1, le=64)
    """Inference engines that one launcher runs at a time."""
    engines_file: Path | None = None
    """YAML with command templates of engines, beside those that there are."""
    engines_host: str = Field(default="127.0.0.1", min_length=1)
    """An address of the launcher's machine: engines listen there, and predictors call them there."""

    # Evaluations
    unreachable_wait_s: float = Field(default=900.0, ge=0)
    """How long an evaluation waits for an unreachable model before its samples end as `infra_error`."""

    # Programs that nobody here has read: scoring programs, and code that models write
    sandbox: Literal["bubblewrap", "none-run-hostile-code-unconfined"] = "bubblewrap"
    """What confines them. The other value means what it says: they may do all that the scorer may."""
    bwrap: Path | None = None
    """bubblewrap's program; unset: the one on PATH."""
    program_python: Path | None = None
    """The Python that they get, with the packages that it has; unset: the scorer's own."""
    programs_at_once: int = Field(default=2, ge=1, le=64)
    """Scoring programs that one scorer runs at a time; each may take the memory that its environment allows."""

    # The scorer
    scorer_processes: int = Field(default=0, ge=0, le=256)
    """Worker processes of each scorer, for scorers that take their time; 0: one a core."""

    # Imports
    hf_datasets_url: str | None = Field(default=None, pattern=r"^(https?://[^/?#]+(/[^?#]*)?)?$")
    """The Hugging Face Hub's datasets server. Unset: no dataset is fetched, only files that are sent are imported."""
    hf_router_url: str = Field(default="https://router.huggingface.co/v1", pattern=r"^https?://[^/?#]+(/[^?#]*)?$")
    """Hugging Face's inference router, an OpenAI-compatible base URL: where models of source `huggingface` are called that have no other."""
    hf_token: SecretStr | None = None
    """Of the Hub, for datasets and models that are private or gated."""

    # Secrets
    secret_key: SecretStr | None = None
    """Fernet key that encrypts models' API keys. Unset: made once and kept in the object store, never on the broker."""

    # Limits of the broker's messages and streams
    message_max_bytes: int = Field(default=1024**2, ge=1024)
    """A larger message goes through the object store, however much the broker carries: it would hold up the small ones."""
    # The server reserves what streams may hold on disk, so they are no larger than windows and a week's events need.
    jobs_max_bytes: int = Field(default=512 * 1024**2, ge=1024**2)
    events_max_bytes: int = Field(default=256 * 1024**2, ge=1024**2)
    events_max_age_s: float = Field(default=7 * 86400.0, gt=0)

    # The embedded stack
    data: Path = Path(".assay")
    predictors: int = Field(default=2, ge=1, le=256)

    # Everything
    log_level: str = "INFO"
    faults: Path | None = None
    """Tests only: a folder; a file in it named after a kill point makes the process SIGKILL itself there once."""

    @field_validator("key_variables")
    @classmethod
    def _are_variables(cls, value: str) -> str:
        read_patterns(value)
        return value

    @field_validator("endpoint_allow", "endpoint_deny")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        read_networks(value)
        return value

    @cached_property
    def networks(self) -> Networks:
        """Where endpoints may be. Loopback is this machine for whoever serves nobody else: the gateway on a loopback address."""
        return Networks(
            read_networks(self.endpoint_allow), read_networks(self.endpoint_deny), loopback=is_loopback(self.host)
        )

    @cached_property
    def key_names(self) -> KeyVariables:
        """Which variables a model may name as its key."""
        return KeyVariables(read_patterns(self.key_variables))

    @cached_property
    def max_upload_bytes(self) -> int:
        return self.max_upload_mb * 1024 * 1024

    @cached_property
    def max_unpacked_bytes(self) -> int:
        return self.max_unpacked_mb * 1024 * 1024


EMBEDDED_ONLY = frozenset({"ASSAY_STACK"})
"""Set by the embedded stack on its children, so that it finds them again after a crash."""


def load_settings() -> Settings:
    """Settings from the environment; unknown `ASSAY_` variables get a warning, since a typo is the likely reason."""
    known = {f"ASSAY_{name}".upper() for name in Settings.model_fields} | EMBEDDED_ONLY | {"ASSAY_URL", "ASSAY_API_KEY"}
    for name in sorted(os.environ):
        if name.startswith("ASSAY_") and name not in known:
            logging.getLogger("assay").warning("unknown setting %s is ignored; .env.example lists all settings", name)
    return Settings()
