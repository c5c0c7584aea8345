"""Runs batches of the ledger: write the notifications, and conclude (ledger/batch.py).

A notification has no effect before its run is concluded. So no claim protects a batch: the first
worker that concludes it has run it.
"""

from collections.abc import Sequence

from redis import Redis

from cron_tasks.ledger.batch import Batch, write_line
from cron_tasks.ledger.run_id import RunId
from cron_tasks.worker.conclusions import log_ok
from cron_tasks.worker.runner import Runner
from cron_tasks.worker.templates import Group, Templates


class BatchRunner:
    """Runs batches in one worker process. Members that are no longer plain go to its runner."""

    def __init__(self, runner: Runner, redis: Redis) -> None:
        self._runner = runner
        self._ledger = runner.ledger
        self._templates = Templates(redis, runner.settings)

    def run(self, batch_id: str) -> str:
        """Run a batch, and return the outcome as text. Without an open batch nothing happens."""
        singly: list[RunId] = []
        ended = 0
        while found := self._runner.wait_for_redis(lambda: self._ledger.read_batch(batch_id)):
            batch, edits, prepared = found
            groups, gone = self._look_up(batch, edits, prepared)
            if gone:
                self._ledger.take_out(gone)
                singly += gone
                continue
            left = self._conclude(batch, groups)
            if left is not None:
                ended = len(batch.job_ids) - len(left)
                singly += left
                break
        log_ok(ended)
        if singly:
            self._runner.run(singly)
        return f"{ended} ended as a batch, {len(singly)} as single runs"

    def _look_up(
        self, batch: Batch, edits: int, prepared: str
    ) -> tuple[Sequence[Group], list[RunId]]:
        """Return the jobs of a batch, and the runs that must not end as they were judged: all of
        them if it is too late."""
        late = self._runner.clock() - batch.fire_time
        if late > self._runner.settings.misfire_grace:
            return [], batch.run_ids
        return self._templates.look_up(batch, edits, prepared)

    def _conclude(self, batch: Batch, groups: Sequence[Group]) -> list[RunId] | None:
        """Conclude a batch. Return the runs that left it, or None if the batch has changed."""
        started = self._runner.clock()
        told = self._templates.write(groups, batch.fire_time, started)
        now = self._runner.clock()
        line = write_line(batch.fire_time, started, now, self._runner.worker)
        return self._runner.wait_for_redis(
            lambda: self._ledger.conclude(batch, started, now, line, told)
        )
