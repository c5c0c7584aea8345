"""A service that actions call, and workers whose attempts end when a test decides.

The workers are the real Runner, each run on a separate thread that moves only while the test waits
for it. So any number of attempts are in flight at once, and a walk is reproducible.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from cron_tasks import actions
from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.run import Run
from cron_tasks.ledger.run_id import RunId
from cron_tasks.plugins import Stopped
from cron_tasks.settings import Settings
from cron_tasks.worker import performing, runner
from cron_tasks.worker.runner import Runner

#: Seconds within which a thread has to move on, or the test fails.
PATIENCE = 20.0
_local = threading.local()


class Died(BaseException):
    """The process of a worker was killed."""


@dataclass(slots=True)
class Seen:
    """An attempt as the service saw it. `round` is the number of earlier reruns."""

    run_id: str
    round: int
    attempt: int
    began: float
    alone: bool
    ended: float | None = None
    how: str = "going"

    @property
    def job_id(self) -> str:
        return RunId.stored(self.run_id).job_id


class Working:
    """A worker that was given the message of a run.

    `began` is whether the service was called. If so, `end` ends the attempt.
    """

    def __init__(self, of: Runner, run_id: str, on_begin: Callable[[Run], Seen]) -> None:
        self.run_id = run_id
        self.seen: Seen | None = None
        self.look: Callable[[], bool] = lambda: False
        self.action = SimpleNamespace(asked=False)
        self.dies = False
        self._runner, self._on_begin = of, on_begin
        self._orders: SimpleQueue[tuple[str, float]] = SimpleQueue()
        self._answers: SimpleQueue[BaseException | str] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._answer()

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def end(self, how: str, now: float, retry_after: float = 0.0) -> None:
        """End the attempt: ok, failed, final (a failure that is not retried) or died."""
        assert self.seen is not None
        self.seen.how, self.seen.ended = how.replace("final", "failed"), now
        self._orders.put((how, retry_after))
        self._answer()
        assert self.over

    def obey(self, now: float) -> None:
        """Check whether the attempt should end, as a worker does each second, and interrupt it if
        so."""
        self._orders.put(("look", 0.0))
        self._answer()
        if self.over and self.seen:
            self.seen.how, self.seen.ended = "cut off", now

    def _answer(self) -> None:
        answer = self._answers.get(timeout=PATIENCE)
        if answer != "waits":
            self._thread.join(PATIENCE)
        if isinstance(answer, BaseException):
            raise answer

    def _work(self) -> None:
        _local.working = self
        answer: BaseException | str = "over"
        try:
            self._runner.run([RunId.stored(self.run_id)])
        except Died:
            pass
        except BaseException as error:
            answer = error
        self._answers.put(answer)

    def serve(self, run: Run) -> str:
        """Answer a call, in the worker's thread."""
        self.seen = self._on_begin(run)
        while True:
            self._answers.put("waits")
            how, retry_after = self._orders.get()
            if how == "ok":
                return "done"
            if how == "look":
                if self.look():
                    self.action.asked = True
                    raise Stopped
                continue
            if how == "died":
                raise Died
            raise ActionFailed(
                f"HTTP 503 at attempt {run.attempt}",
                permanent=how == "final",
                retry_after=retry_after or None,
            )


def _perform(run: Run, settings: Settings) -> str:
    working: Working = _local.working
    try:
        return working.serve(run)
    except Died:
        working.dies = True
        return ""


@contextmanager
def _interruptible(look: Callable[[], bool], give_up: Any) -> Iterator[Any]:
    """Replace the thread that checks each second, because the test's time is not the machine's."""
    working: Working = _local.working
    working.look = look
    yield working.action
    if working.dies:
        raise Died


@contextmanager
def _renewed(renew: Callable[[], object], every: float) -> Iterator[None]:
    yield


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make HTTP actions call the service, and renew nothing by the machine's time."""
    monkeypatch.setitem(actions.BUILT_IN_PERFORMERS, "http", _perform)  # type: ignore[arg-type]
    # So that each attempt has a thread, which ends when a test decides.
    monkeypatch.setattr(runner, "waits_on_loop", lambda kind: False)
    monkeypatch.setattr(performing, "interruptible", _interruptible)
    monkeypatch.setattr(runner, "keep_calling", _renewed)
