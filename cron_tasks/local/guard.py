"""Ends what `cron-tasks up` started when `up` itself could not: kill -9, no memory, a crash.

It runs as a process of its own, by path and with the standard library alone, so that it is there
at once. Its stdin is a pipe that only `up`, and a child until it runs its program, can write to; so
it ends when nobody is left who could start anything. A line is the id of a process group, or that
with a minus once the group is gone. The folder named as argument is deleted last. Each part may be
killed at any instant without harm.
"""

import os
import shutil
import signal
import sys
import time


def kill(group: int) -> bool:
    """Whether there still was something to kill."""
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
    deadline = time.monotonic() + 5  # for those that nobody collects
    while (groups := set(filter(kill, groups))) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
