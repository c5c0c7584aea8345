"""The run of each process of a pool, in memory that it shares with the worker's main process.

An action that holds Python's global lock stops every thread of its process. Only another process
can see that the action takes too long, so each process of the pool posts its run here.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson
from billiard import current_process

from cron_tasks.runs.result import Result

#: The most processes of a pool that are watched.
PROCESSES = 1024
#: Each process has a slot for a run in its main thread, and one for the runs on its event loop.
SLOTS = 2 * PROCESSES
# Hard deadline and last renewal (by the monotonic clock), length of the text, process id.
_HEAD = struct.Struct("=ddqq")
_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Posted:
    """A run that a process of the pool performs. If there are many, the one with the first
    deadline.

    `result` is the end of the run if it is still in flight at `deadline`. `renewed` is when its
    lease was renewed last. Both times are readings of `time.monotonic`; `started_at` is in seconds
    since the epoch.
    """

    run_id: str
    holder: str
    started_at: float
    result: Result
    deadline: float
    renewed: float
    pid: int = 0


class Board:
    """The shared memory, with two slots for each process of the pool."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, SLOTS * (_HEAD.size + _TEXT))

    def post(self, index: int, posted: Posted) -> None:
        """Fill a slot. The process id is written last, and makes the slot valid."""
        self.clear(index)
        fields = asdict(posted)
        del fields["pid"]
        times = (fields.pop("deadline"), fields.pop("renewed"))
        text = orjson.dumps(fields)[:_TEXT]
        at = SLOTS * _HEAD.size + index * _TEXT
        self._memory[at : at + len(text)] = text
        _HEAD.pack_into(self._memory, index * _HEAD.size, *times, len(text), os.getpid())

    def clear(self, index: int) -> None:
        _HEAD.pack_into(self._memory, index * _HEAD.size, 0.0, 0.0, 0, 0)

    def read(self) -> Iterator[tuple[int, Posted]]:
        """Yield each used slot, with its index."""
        for index in range(SLOTS):
            deadline, renewed, length, pid = _HEAD.unpack_from(self._memory, index * _HEAD.size)
            if pid and deadline and (fields := self._text(index, length)):
                fields["result"] = Result(**fields["result"])
                times = {"pid": pid, "deadline": deadline, "renewed": renewed}
                yield index, Posted(**fields | times)

    def _text(self, index: int, length: int) -> dict[str, Any] | None:
        at = SLOTS * _HEAD.size + index * _TEXT
        try:
            found: dict[str, Any] = orjson.loads(self._memory[at : at + length])
        except ValueError:
            return None  # The process is writing just now.
        return found


@dataclass(frozen=True, slots=True)
class Slot:
    """The slot of this process."""

    board: Board
    index: int

    @property
    def beside(self) -> "Slot":
        """The slot for the runs on the event loop of the same process."""
        return Slot(self.board, self.index + PROCESSES)

    def post(self, posted: Posted) -> None:
        self.board.post(self.index, posted)

    def clear(self) -> None:
        self.board.clear(self.index)


_board: Board | None = None


def share_board() -> Board:
    """Allocate the memory that this process shares with processes forked later."""
    global _board
    _board = Board()
    return _board


def in_pool() -> bool:
    """Return whether this is a process of a pool rather than a worker's main process."""
    return getattr(current_process(), "index", None) is not None


def find_slot() -> Slot | None:
    """Return the slot of this process. None outside a pool of forked processes."""
    index = getattr(current_process(), "index", None)
    return Slot(_board, index) if _board and index is not None and index < PROCESSES else None


def is_alive(pid: int) -> bool:
    """Return whether a child of this process lives. Celery can still collect the end of a dead
    one."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False
