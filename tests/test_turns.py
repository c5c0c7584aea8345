"""The round trips of a turn of beat. Each one before the message delays the run."""

import time
from types import SimpleNamespace

import pytest
from driven import Beat

from cron_tasks.store import keys

ADVANCE = DUE = "EVALSHA"
SEND = ["LPUSH cron_tasks", "PUBLISH /0.celeryev/task.sent"]
WAIT = "BLPOP"


def turn(beat: Beat) -> list[str]:
    """Return the commands that beat sends in its next turn, without those of scripts."""
    beat.redis.lpush(keys.WAKE, "now")
    sent: list[str] = []
    with beat.redis.monitor() as monitor:
        beat.scheduler.tick()
        beat.scheduler.redis.echo("end")
        while (command := monitor.next_command())["command"] != "ECHO end":
            words = command["command"].split()
            if command["client_type"] != "lua":
                sent.append(" ".join(words[: 2 if words[0] in ("LPUSH", "PUBLISH") else 1]))
    beat.redis.delete(keys.WAKE)
    return sent


@pytest.mark.parametrize("jobs", [1, 20], ids=["alone", "as a batch"])
def test_nothing_delays_a_tick_that_is_due(
    beat: Beat, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lock, sign of life and depth of the queue are handled while beat waits for the tick."""
    scheduler, now = beat.scheduler, time.monotonic()
    # On a busy machine seconds may pass between the two turns, and all three would be due again.
    for module in ("beat.leadership", "beat.publisher", "vitals.signs"):
        still = SimpleNamespace(monotonic=lambda: now)
        monkeypatch.setattr(f"cron_tasks.{module}.time", still)
    beat.register(*({"id": n, "name": "x", "every": 1} for n in range(jobs)))
    beat.run(2)
    scheduler.leadership._extended = now - scheduler.leadership._ttl * 0.4
    scheduler._signs._given = now - 3.5
    scheduler.tick()
    beat.clock.now += 1
    assert turn(beat) == [ADVANCE, *SEND, DUE, DUE, WAIT]
