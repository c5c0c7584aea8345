"""Kill the processes of `cron-tasks up` if `up` itself could not stop them: kill -9, no memory, a
crash.

The guard is a separate process. It is run by its path and imports only the standard library, so
that it starts at once. Its stdin is a pipe. Only `up` can write to it, and each child until it runs
its program. So the pipe is closed when no process is left that could start anything, and the guard
ends. Each line is the id of a process group, or the id with a minus once that group is gone.
Finally the guard deletes the folder that is its argument. Any process may be killed at any instant.
"""

import os
import shutil
import signal
import sys
import time


def kill(group: int) -> bool:
    """Kill a process group. Return whether there still was something to kill."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        return False
    return True


def main() -> None:
    groups: set[int] = set()
    for number in map(int, sys.stdin):
        if number > 0:
            groups.add(number)
        else:
            groups.discard(-number)
    deadline = time.monotonic() + 5  # zombies that nobody collects stay
    while (groups := set(filter(kill, groups))) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
