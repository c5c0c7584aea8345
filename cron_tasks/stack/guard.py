"""Ends what `cron-tasks up` started when `up` itself could not: kill -9, no memory, a crash.

It runs as a process of its own, started by path and with nothing but the standard library, since
that works for any child on any system. Its stdin is a pipe that only `up`, and a child until it
runs its program, can write to; so the pipe ends when, and only when, nobody is left who could start
anything. Lines are `+PID` (leads a process group, which is to be killed) and `-PID` (is gone).
The folders named as arguments are deleted last.

What still runs then is killed at once: each part may be killed at any instant without harm.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: Seconds in which killed processes are gone, unless nobody collects them.
SECONDS = 5.0


def guarded(lines: Iterable[str]) -> set[int]:
    """The groups still there when the lines end."""
    groups: set[int] = set()
    for line in lines:
        if line.startswith("+"):
            groups.add(int(line))
        else:
            groups.discard(-int(line))
    return groups


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups = guarded(sys.stdin)
    for group in groups:
        with suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while any(map(exists, groups)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for folder in map(Path, sys.argv[1:]):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
