"""supervisord with a shorter breath: `python -m deploy.embedded.supervisord -c supervisord.conf`.

Its loop notices a death at one wake-up and starts the process anew at the next, and sleeps a second where nothing wakes
it: two seconds and more until a restart. A third of a second each keeps restarts under a second, and still
leaves a pause between the deaths of a process that cannot run.
"""

import sys

from supervisor.options import ServerOptions
from supervisor.poller import Poller
from supervisor.supervisord import go

LONGEST_SLEEP_S = 0.33


class PromptPoller(Poller):  # type: ignore[misc]
    """Waits for events, but not as long as it is told."""

    def poll(self, timeout: float) -> object:
        return super().poll(min(timeout, LONGEST_SLEEP_S))


def main(arguments: list[str]) -> None:
    """Run until told to shut down, in the background unless the configuration says otherwise."""
    options = ServerOptions()
    options.poller = PromptPoller(options)
    options.realize(arguments)
    options.first = True
    options.test = False
    go(options)
    options.close_httpservers()
    options.close_logger()


if __name__ == "__main__":
    main(sys.argv[1:])
