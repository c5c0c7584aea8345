"""The jobs that chaos has: plain notifications, and actions that take time under every policy."""

from typing import Any

#: Seconds between the ticks of the plain jobs; each interval has JOBS_EACH of them.
INTERVALS = (1, 2, 3, 5, 7)
JOBS_EACH = 4
#: Catch-up policies in turn.
POLICIES = ("one", "all", "none")
EVENTS = ("success", "failure", "retry", "skipped", "missed", "recovered")
#: Seconds between the ticks of the jobs that are edited all the time, in turn: both often come at
#: the same instant, but not the next time.
EDITED, EDITS = 4, (2, 3)
#: Seconds of an attempt; what the target takes is shorter, but for the impatient.
PATIENT, IMPATIENT = 10, 3

#: Jobs that take time: (id, seconds between ticks, overlap policy, attempts, timeout).
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
    # Together they are more than there are slots, so some share a message.
    *((f"http-many-{number}", 10, "queue", 2, PATIENT) for number in range(10)),
)


def job_rows(target: str) -> list[dict[str, Any]]:
    """The list of the REST service; `target` is the URL that the slow jobs ask."""
    edited = [
        {"id": f"edited-{number}", "name": "edited", "every": EDITS[0], "catchup": {"window": 60}}
        for number in range(EDITED)
    ]
    return [*_plain(), *edited, *(_slow(target, *each) for each in SLOW)]


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
    action = {"type": "task", "name": "chaos.work"}
    if kind == "http":
        attempt = {"Attempt": "$attempt"}
        action = {"type": "http", "method": "POST", "url": target, "headers": attempt}
    return {
        "id": job,
        "name": f"{kind} every {every} s, {overlap}, {attempts} attempts",
        "every": every,
        "action": action,
        "overlap": overlap,
        "timeout": timeout,
        "retry": {"max_attempts": attempts, "backoff": 1, "max_backoff": 3},
        "catchup": {"policy": "one", "window": 60},
        "notify": {"on": EVENTS},
    }
