"""The gateway: HTTP, websockets and SSE over what MongoDB, the object store and the event stream hold.

`python -m gateway.app` serves until SIGTERM or SIGINT. HTTP is there at once; `/readyz` says what is still missing.
"""

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import PackageNotFoundError, version

import uvicorn
from fastapi import FastAPI

from gateway import openapi, problems
from gateway.api import (
    endpoint_models,
    engines,
    environments,
    evaluations,
    events,
    files,
    health,
    leaderboards,
    models,
    parked,
    results,
    schemas,
)
from gateway.auth import Guard, Keyring, SetupError, check_settings
from gateway.exchange import Exchange
from gateway.live import Feed
from gateway.parts import Parts
from gateway.stream import LiveRead
from gateway.web import errors
from gateway.web.routes import ROUTERS
from gateway.wire import Wire
from shared.secrets import Cipher, load_cipher
from shared.service import Service, collect_less, end, set_up_logging, until_up
from shared.settings import Settings, load_settings
from shared.storage import mongo
from shared.storage.objects import Objects, ObjectStoreError

logger = logging.getLogger("assay.gateway")

STOP_TIMEOUT_S = 5
MAX_MESSAGE_BYTES = 64 * 1024
"""Of what a websocket's client sends, which is dropped anyway."""


def create_app(settings: Settings, keys: Keyring) -> FastAPI:
    """The application. Its connections are made when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service("gateway", settings)
        client = mongo.connect(settings)
        objects = Objects(settings)
        parts = Parts(settings, service, client[settings.mongo_database], objects, Feed())
        app.state.parts = parts

        async def nats_answers() -> None:
            parts.need_nats()
            await service.nats_answers()

        async def bucket_is_there() -> None:
            if not await objects.reachable():
                raise ObjectStoreError("the bucket is missing")

        service.checks.update(nats=nats_answers, mongodb=lambda: client.admin.command("ping"), objects=bucket_is_there)
        # In the background: what is waited for may come up after this, and liveness must not wait with it.
        tasks = [
            service.spawn(connect(parts), "connecting to NATS"),
            service.spawn(unlock(parts), "loading the key that encrypts API keys"),
        ]
        try:
            yield
        finally:
            await end(tasks)
            if parts.connected:
                with suppress(Exception):  # a connection that is broken cannot be drained
                    await asyncio.wait_for(service.broker.stop(), STOP_TIMEOUT_S)
            client.close()
            await objects.aclose()

    app = FastAPI(
        title="Assay",
        version=_version(),
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        lifespan=lifespan,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.keys = keys
    problems.install(app, errors.show)
    openapi.install(app)
    app.add_middleware(Guard, keys=keys)
    app.add_middleware(Exchange, show=errors.show)
    app.include_router(health.router)
    app.include_router(schemas.router)
    for module in (
        environments,
        leaderboards,
        models,
        endpoint_models,
        engines,
        evaluations,
        results,
        files,
        events,
        parked,
    ):
        app.include_router(module.router, prefix="/v1")
    app.include_router(events.sockets, prefix="/v1")
    for router in ROUTERS:
        app.include_router(router)
    return app


async def connect(parts: Parts) -> None:
    """Connect to the broker, waiting for it, then pass events on for ever."""
    await parts.service.connect()
    await parts.service.broker.start()
    live = LiveRead(parts.service, parts.feed)
    await live.start()
    parts.connected = True
    logger.info("connected")
    await live.run()


async def unlock(parts: Parts) -> None:
    """Wait for the deployment's cipher."""
    parts.cipher = await until_up(lambda: load_cipher(parts.settings, parts.objects), "the object store")


class GatewayServer(uvicorn.Server):
    """Ends the feeds first when it stops: uvicorn would wait for SSE answers that never end by themselves."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="uvloop",
                log_config=None,
                access_log=False,
                server_header=False,
                ws=Wire,
                ws_ping_interval=20,
                ws_per_message_deflate=False,  # would compress each event once a client
                ws_max_size=MAX_MESSAGE_BYTES,
                timeout_graceful_shutdown=STOP_TIMEOUT_S,
            )
        )
        self._app = app
        # A refusal of a websocket is an HTTP answer, which this version of uvicorn calls an error of the application.
        logging.getLogger("uvicorn.error").addFilter(
            lambda record: "without completing handshake" not in str(record.msg)
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.parts.feed.close()
        await super().shutdown(sockets)


def _version() -> str:
    try:
        return version("assay")
    except PackageNotFoundError:
        return "0"


def main() -> int:
    """Exit code 2 where a setting is wrong."""
    settings = load_settings()
    set_up_logging(settings, "gateway")
    try:
        keys = check_settings(settings)
        if not settings.s3_secret_key.get_secret_value():
            raise SetupError("ASSAY_S3_SECRET_KEY must be set: the object store's secret key")
        if settings.secret_key:
            Cipher(settings.secret_key.get_secret_value().encode())
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    except ValueError:
        print("ASSAY_SECRET_KEY must be a Fernet key: 32 bytes in url-safe base64", file=sys.stderr)
        return 2
    server = GatewayServer(create_app(settings, keys), settings)
    # Looking through everything again and again was a third of what a thousand clients cost who connect at once.
    collect_less()
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
