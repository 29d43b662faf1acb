"""The scorer: scores predictions into results, and results into metrics. Any number of replicas share the work.

python -m services.scorer.app
"""

import asyncio

from faststream import FastStream

from services.scorer.handlers import Scorer
from services.scorer.judge import Judge
from services.scorer.lane import Way
from services.scorer.programs.run import Programs
from services.scorer.programs.turns import Turns
from services.scorer.rounds import Rounds
from services.scorer.sandbox import Sandbox
from services.scorer.scorers.code import Code
from services.scorer.targets import Targets
from services.scorer.workers import Workers
from shared import subjects
from shared.large import LargeMessages
from shared.publisher import Publisher
from shared.service import Service, run, set_up_logging, until_up
from shared.settings import load_settings
from shared.steps import on_step
from shared.storage import mongo
from shared.storage.objects import Objects
from shared.unpacking import ArchiveLimits
from shared.workspace import sweep


async def build() -> FastStream:
    settings = load_settings()
    set_up_logging(settings, "scorer")
    service = Service("scorer", settings)
    await service.connect()
    client = mongo.connect(settings)
    database = client[settings.mongo_database]
    await until_up(lambda: mongo.provision(database), "MongoDB")
    service.checks = {
        "nats": service.nats_answers,
        "mongodb": lambda: client.admin.command("ping"),
    }

    objects = Objects(settings)
    workers = Workers(settings.scorer_processes)
    large = LargeMessages(service.nc, objects, settings.message_max_bytes)
    publisher = Publisher(service.nc)
    # Processes of its own: what scoring takes elsewhere must not hold up questions, nor the other way round.
    askers = Workers(settings.scorer_processes)
    sandbox = Sandbox.of(settings)
    ways = {
        "process": Way(workers.score, at_once=2 * workers.count),
        "sandbox": Way(Code(sandbox).score, at_once=sandbox.at_once),
        "judge": Way(Judge(askers, publisher, large).score, at_once=4 * askers.count),
    }
    scorer = Scorer(service, database, large, ways)
    # A sandbox for programs alone: other code is run for a moment, and does not wait for what may take hours.
    program_sandbox = Sandbox.of(settings)
    programs = Programs(service, database, objects, program_sandbox, ArchiveLimits(settings.max_unpacked_bytes))
    turns = Turns(service, database, settings.programs_at_once)
    rounds = Rounds(service, database, workers, programs, turns)
    service.command("targets.check")(Targets(workers, sandbox).check)
    on_step(service, subjects.SCORER_LANDED, "landed", rounds.all_landed, rounds.refuse, at_once=64)
    service.hooks = [scorer.reconnected]

    app = FastStream(service.broker, logger=None)

    @app.after_startup
    async def start() -> None:
        await asyncio.to_thread(sweep)
        await publisher.start()
        await scorer.start()
        service.spawn(scorer.land_batches(), "landing results")
        service.spawn(scorer.land_scored(), "landing results of lanes")

    @app.on_shutdown
    async def stop() -> None:
        turns.stop()
        await scorer.stop()
        await service.stop_background()
        await workers.stop()
        await askers.stop()
        await publisher.stop()
        sandbox.close()
        program_sandbox.close()
        client.close()
        await objects.aclose()

    return app


if __name__ == "__main__":
    run(build)
