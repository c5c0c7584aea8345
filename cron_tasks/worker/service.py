"""Takes a process out of service that can no longer work."""

import errno
import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress

import structlog

from cron_tasks.tracing.tracer import end_tracing
from cron_tasks.worker.inflight import in_pool

log = structlog.get_logger("cron_tasks.service")

#: File descriptors that an action must be able to open.
SPARE_DESCRIPTORS = 8
#: The exit status of a process that took itself out of service (EX_SOFTWARE of sysexits.h).
EX_SOFTWARE = 70


def lacks_descriptors() -> bool:
    """Return whether this process can open fewer than SPARE_DESCRIPTORS files or connections."""
    spare: list[int] = []
    try:
        spare.append(os.open(os.devnull, os.O_RDONLY))
        while len(spare) < SPARE_DESCRIPTORS:
            spare.append(os.dup(spare[0]))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    finally:
        for descriptor in spare:
            os.close(descriptor)
    return False


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the limit of open files to `wanted`, as far as the system allows. Return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Service:
    """The state of service of this process: whether it takes runs, and how it ends."""

    def __init__(self) -> None:
        self.reason = ""
        # The current work. The value is whether the run of an action that cannot be ended is
        # concluded.
        self._going: set[str] = set()
        self._stuck: dict[str, bool] = {}

    def enter(self, key: str) -> None:
        """Add work that has to end before the process may end."""
        self._going.add(key)

    def leave(self, key: str) -> None:
        """Remove work that has ended."""
        self._going.discard(key)
        self._stuck.pop(key, None)

    def give_up(self, key: str, reason: str, conclude: Callable[[], object]) -> None:
        """Give up an action that did not end when it was asked to. Called again each second.

        This process takes no more runs, lets the others end, and then ends itself. Until then the
        run keeps its lease, so no other run of the job overlaps it.
        """
        self.stop(reason)
        self._stuck.setdefault(key, False)
        if self._going - self._stuck.keys():
            return
        conclude()
        self._stuck[key] = True
        if all(self._stuck.get(each) for each in tuple(self._going)):
            self.end()

    def stop(self, reason: str) -> None:
        """Take no more runs. The main process of a worker then waits for the runs in flight."""
        if self.reason:
            return
        self.reason = reason
        log.error("worker.leaves", reason=reason, pid=os.getpid())
        if not in_pool():
            # Celery's warm shutdown.
            os.kill(os.getpid(), signal.SIGTERM)

    def check(self) -> None:
        """Stop if no action could work in this process."""
        if not self.reason and lacks_descriptors():
            self.stop("it is out of file descriptors")

    def end(self) -> None:
        """End this process now. Celery replaces a pool process, and a supervisor a whole worker."""
        end_tracing()
        os._exit(EX_SOFTWARE)
