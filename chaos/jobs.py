"""The jobs of chaos: notifications, slow actions under every policy, and thousands of idle jobs."""

from datetime import UTC, datetime
from typing import Any

#: The beginning of the key of a job's entry.
ENTRY = "redbeat:cron_tasks:"
#: Seconds between the ticks of the plain jobs. Each interval has JOBS_EACH of them. In most seconds
#: so many are due that they fire as a batch, and in the other seconds they are single runs.
INTERVALS = (1, 2, 3, 5, 7)
JOBS_EACH = 8
#: Catch-up policies in turn.
POLICIES = ("one", "all", "none")
EVENTS = ("success", "failure", "retry", "skipped", "missed", "recovered")
#: Seconds between the ticks of the jobs that are edited all the time, in turn. Both intervals often
#: have a common instant, but not the next one.
EDITED, EDITS = 4, (2, 3)
#: The timeout of an attempt in seconds. The target is quicker, except for the impatient jobs.
PATIENT, IMPATIENT = 10, 3

#: Idle hourly jobs at the head of the list, which make the list long.
FILLERS = 4000
#: Jobs at the end of the list. Their timing is written in one way and then in another with the same
#: ticks, so an edit must neither lose nor double a tick.
FLIPS = ((1, 4), (2, 2))
#: Jobs that are removed from the list and come back.
FLAPS = ((1, 2), (3, 1))
#: A rule that takes seconds to reject, and one that takes seconds to accept.
COSTLY = (
    "FREQ=YEARLY;BYYEARDAY=366;BYSETPOS=2",
    "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13;COUNT=7900",
)

#: Slow jobs: (id, seconds between ticks, overlap policy, attempts, timeout).
SLOW = (
    ("http-skip", 3, "skip", 3, PATIENT),
    ("http-queue", 3, "queue", 3, PATIENT),
    ("http-replace", 3, "replace", 3, PATIENT),
    ("http-allow", 5, "allow", 3, PATIENT),
    ("http-impatient", 5, "queue", 2, IMPATIENT),
    ("http-once-skip", 4, "skip", 1, PATIENT),
    ("http-once-queue", 4, "queue", 1, PATIENT),
    ("task-queue", 5, "queue", 3, PATIENT),
    ("task-once", 5, "skip", 1, PATIENT),
    ("http-once-replace", 5, "replace", 1, PATIENT),
    ("http-once-allow", 7, "allow", 1, PATIENT),
    ("task-replace", 7, "replace", 3, PATIENT),
    ("task-allow", 7, "allow", 2, PATIENT),
    # Together they exceed the number of slots, so some share a message.
    *((f"http-many-{number}", 10, "queue", 2, PATIENT) for number in range(10)),
)


def job_rows(target: str) -> list[dict[str, Any]]:
    """Return the list of the REST service. `target` is the URL that the slow jobs call."""
    edited = [
        {"id": f"edited-{number}", "name": "edited", "every": EDITS[0], "catchup": {"window": 60}}
        for number in range(EDITED)
    ]
    flaps = [_notify(f"flap-{every}s-{n}", every) for every, many in FLAPS for n in range(many)]
    return [*_plain(), *edited, *(_slow(target, *each) for each in SLOW), *flaps]


def flip_rows() -> list[dict[str, Any]]:
    return [_notify(f"flip-{every}s-{n}", every) for every, many in FLIPS for n in range(many)]


def flip(row: dict[str, Any], swapped: bool) -> dict[str, Any]:
    """Return the row with its interval, or with the cron expression that has the same ticks."""
    if not swapped:
        return row
    expression = f"*/{row['every']} * * * * *"
    return {name: row[name] for name in row if name != "every"} | {"cron_expression": expression}


def filler(number: int, idle_until: float, swapped: bool) -> dict[str, Any]:
    """Return an hourly job, every two hours if swapped, that does not tick before a time."""
    start = datetime.fromtimestamp(idle_until + number, UTC).isoformat()
    every = 7200 if swapped else 3600
    return {"id": f"filler-{number}", "name": "filler", "every": every, "start_at": start}


def costly() -> list[dict[str, Any]]:
    """Return rows whose rules take seconds to judge. The valid one fires on a Friday the 13th."""
    start = "2005-01-01T03:00:00Z"
    return [
        {"id": f"costly-{n}", "name": "costly", "rrule": rule, "start_at": start}
        for n, rule in enumerate(COSTLY)
    ]


def _notify(job: str, every: int) -> dict[str, Any]:
    return {"id": job, "name": f"every {every} s", "every": every, "catchup": {"window": 60}}


def _plain() -> list[dict[str, Any]]:
    return [
        {
            "id": f"{interval}s-{number}",
            "name": f"every {interval} s, {POLICIES[number % 3]}",
            "every": interval,
            "catchup": {"policy": POLICIES[number % 3], "window": 60},
        }
        for interval in INTERVALS
        for number in range(JOBS_EACH)
    ]


def _slow(
    target: str, job: str, every: int, overlap: str, attempts: int, timeout: int
) -> dict[str, Any]:
    kind = job.partition("-")[0]
    action: dict[str, Any] = {"type": "task", "name": "chaos.work"}
    queue = "cron_tasks"  # Our own workers include the task.
    if kind == "http":
        queue = ""
        attempt = {"Attempt": "$attempt"}
        action = {"type": "http", "method": "POST", "url": target, "headers": attempt}
    return {
        "id": job,
        "name": f"{kind} every {every} s, {overlap}, {attempts} attempts",
        "every": every,
        "action": action,
        "queue": queue,
        "overlap": overlap,
        "timeout": timeout,
        "retry": {"max_attempts": attempts, "backoff": 1, "max_backoff": 3},
        "catchup": {"policy": "one", "window": 60},
        "notify": {"on": EVENTS},
    }
