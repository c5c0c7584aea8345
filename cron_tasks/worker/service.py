"""Taking a process out of service that can no longer work."""

import errno
import os
import signal

import structlog

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


class Service:
    """Whether this process takes runs, and how it ends when it should take no more."""

    def __init__(self) -> None:
        self.reason = ""

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
        """End this process now. Celery replaces a pool process, a supervisor a whole worker."""
        os._exit(EX_SOFTWARE)
