"""Audits from time to time, so that a lost tick is a metric.

The audit runs in a separate process: an audit of many jobs takes seconds, in which beat fires.
"""

import json
import subprocess
import sys
import time

import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks.store import keys

log = structlog.get_logger("cron_tasks.metrics")

#: Seconds between two audits of all beats together, and for which a result is valid.
EVERY, KEPT = 300, 1_200
#: Seconds between two checks whether an audit is due, and the time limit of an audit.
LOOK_EVERY, LONGEST = 10.0, 240
#: The increase of the niceness compared with beat, which must not be slowed down.
_NICER = 10
_PROGRAM = f"import os; os.nice({_NICER}); from cron_tasks.cli import main; main()"


def keep_auditing(redis: Redis) -> None:
    """Audit for as long as this process lives, whenever an audit is due and no other process does
    it."""
    while True:
        time.sleep(LOOK_EVERY)
        try:
            audit_in_turn(redis)
        except (RedisError, OSError, ValueError, subprocess.SubprocessError) as error:
            log.warning("audit.failed", error=str(error))


def audit_in_turn(redis: Redis) -> None:
    """Audit the last two hours, unless that was done within EVERY seconds.

    Raises RedisError, OSError, SubprocessError, and ValueError if the audit failed.
    """
    if not redis.set(keys.LOST_TURN, 1, nx=True, ex=EVERY):
        return
    command = [sys.executable, "-c", _PROGRAM, "audit", "--since", "2h", "--json"]
    done = subprocess.run(  # noqa: S603 - this program, with fixed arguments
        command, capture_output=True, text=True, timeout=LONGEST, check=False
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise ValueError(done.stderr.strip() or f"the audit exited {done.returncode}")
    lost = json.loads(done.stdout)["lost"]
    redis.set(keys.LOST, len(lost) if isinstance(lost, list) else lost, ex=KEPT)
    if lost:
        log.error("audit.lost", ticks=len(lost), hint="`cron-tasks audit` lists them")
