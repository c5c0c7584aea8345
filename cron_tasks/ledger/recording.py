"""Records the spans of the ledger's steps (spans.py) for sampled runs."""

from collections.abc import Iterable

import orjson

from cron_tasks.ledger.records import Outcome
from cron_tasks.ledger.run_id import RunId
from cron_tasks.ledger.spans import (
    span_of_fire,
    span_of_missed,
    spans_of_batched,
    spans_of_end,
)
from cron_tasks.settings import Settings
from cron_tasks.tracing.tracer import Tracer, find_tracer


class Recorder:
    """Records spans with a tracer."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def record_fires(self, run_ids: Iterable[RunId], now: float) -> None:
        """Record the spans of fire times whose runs were opened."""
        for run_id in run_ids:
            root = self._tracer.root_of(run_id)
            if root.is_sampled:
                self._tracer.record(span_of_fire(root, run_id, now))

    def record_ends(self, outcomes: Iterable[Outcome]) -> None:
        """Record the spans that these outcomes end."""
        for outcome in outcomes:
            root = self._tracer.root_of(outcome.run_id)
            if root.is_sampled:
                for span in spans_of_end(root, outcome):
                    self._tracer.record(span)

    def record_missed(self, records: Iterable[str | bytes]) -> None:
        """Record the spans of missed fire times. A stretch has one span, that of its first fire
        time."""
        for record in records:
            end = orjson.loads(record)
            root = self._tracer.root_of(end["run_id"])
            if root.is_sampled:
                self._tracer.record(span_of_missed(root, end))

    def record_batch(self, ended: Iterable[RunId], started: float, now: float, worker: str) -> None:
        """Record the spans of runs that ended ok in a batch."""
        for run_id in ended:
            root = self._tracer.root_of(run_id)
            if root.is_sampled:
                for span in spans_of_batched(root, run_id, started, now, worker):
                    self._tracer.record(span)


def find_recorder(settings: Settings) -> Recorder | None:
    """Return the recorder of this process, or None if traces are off."""
    tracer = find_tracer(settings)
    return None if tracer is None else Recorder(tracer)
