"""In a shared message, a slow tick does not delay those behind it."""

from collections.abc import Sequence
from threading import Event

from helpers import PATIENCE
from kombu.exceptions import OperationalError

from cron_tasks.ledger.run_id import RunId
from cron_tasks.worker.in_turn import run_in_turn

TICKS = [(f"{job}@2026-11-23T09:00:00Z", str(job)) for job in range(5)]


def test_those_behind_a_slow_run_are_sent_alone() -> None:
    sent: list[RunId] = []
    all_sent = Event()

    def send_alone(tick: RunId) -> None:
        sent.append(tick)
        if len(sent) == 3:
            all_sent.set()

    def run(ticks: Sequence[RunId]) -> dict[str, str]:
        if ticks == [TICKS[1]]:
            assert all_sent.wait(PATIENCE)
        return {ticks[0][0]: "ok"}

    ended = run_in_turn(TICKS, run, send_alone)
    assert list(ended) == [run_id for run_id, _ in TICKS[:2]]
    assert sent == TICKS[2:]


def test_without_a_broker_those_behind_it_run_here() -> None:
    asked = Event()

    def send_alone(_: RunId) -> None:
        asked.set()
        raise OperationalError("away")

    def run(ticks: Sequence[RunId]) -> dict[str, str]:
        assert ticks != [TICKS[0]] or asked.wait(20)
        return {ticks[0][0]: "ok"}

    ended = run_in_turn(TICKS, run, send_alone)
    # The one that could not be sent is a hint that got lost, which the sweep sends again.
    assert list(ended) == [run_id for run_id, _ in (TICKS[0], *TICKS[2:])]
