"""The launcher: starts inference engines for models that have no endpoint of their own. Needs a broker, and for checkpoints in S3 an object
store; one for each machine that engines are to run on.

python -m services.launcher.app
"""

import asyncio
import os
import sys

import httpx
from faststream import FastStream

from services.launcher.downloads import Downloads
from services.launcher.engine import Tools
from services.launcher.handlers import Launcher
from services.launcher.local import LocalBackend
from services.launcher.presence import Presence
from services.launcher.templates import TemplateError, load_templates
from shared import subjects
from shared.buckets import Mirror
from shared.service import Service, run, set_up_logging, until_up
from shared.settings import load_settings


async def build() -> FastStream:
    settings = load_settings()
    set_up_logging(settings, "launcher")
    try:
        templates = load_templates(settings.engines_file)
    except TemplateError as error:
        sys.exit(f"ASSAY_ENGINES_FILE: {error}")
    service = Service("launcher", settings)
    home = settings.data.resolve() / "launcher"
    presence = Presence(home, service.instance)
    downloads = Downloads(settings, home / "checkpoints")
    dead = await asyncio.to_thread(presence.sweep)
    await asyncio.to_thread(downloads.sweep)
    await service.connect()
    service.checks = {"nats": service.nats_answers}

    http = httpx.AsyncClient(trust_env=False)
    tools = Tools(
        backend=LocalBackend(home, settings.engines_host, presence),
        templates=templates,
        downloads=downloads,
        store=await until_up(lambda: service.js.key_value(subjects.KV_ENGINES), "NATS"),
        js=service.js,
        http=http,
        environment=os.environ,
        hf_token=settings.hf_token.get_secret_value() if settings.hf_token else None,
    )
    launcher = Launcher(service, tools, settings.engines_at_once, dead)
    engines = Mirror(service.js, subjects.KV_ENGINES, launcher.changed)
    service.hooks = [engines.restart]
    service.command("engines")(launcher.engines)

    app = FastStream(service.broker, logger=None)

    @app.after_startup
    async def start() -> None:
        await engines.start()
        service.spawn(launcher.run(), "looking after engines")

    @app.on_shutdown
    async def stop() -> None:
        await launcher.stop()
        await engines.stop()
        await service.stop_background()
        await http.aclose()
        presence.close()

    return app


if __name__ == "__main__":
    run(build)
