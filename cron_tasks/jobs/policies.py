"""The policies of a job: whom a run tells, what becomes of failure and delay.

Section 3 of the contract.
"""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from cron_tasks.jobs import placeholders
from cron_tasks.jobs.fields import WEEK, YEAR, Policy, few, seconds, text, whole, word
from cron_tasks.store.names import RESERVED
from cron_tasks.text.display import short_repr

#: What a `notify.template` may name; `time` is the scheduled time in the job's zone.
TEMPLATE_FIELDS = (
    *("name", "id", "run_id", "scheduled_for", "created_at", "attempt", "status", "error", "time"),
)

_Events = Literal["success", "failure", "retry", "skipped", "missed", "recovered"]
_EVENTS = ", ".join(get_args(_Events))
Event = Annotated[_Events, Field(description=f"one of {_EVENTS}")]


def worker_queue(name: str | None, reserved: tuple[str, ...] = RESERVED) -> str | None:
    """A queue that workers read. Raises ValueError on a key of the scheduler's own."""
    if name and name.startswith(reserved):
        raise ValueError(f"{short_repr(name)} is a name that Celery or the scheduler uses itself")
    return name


def _bot_queue(name: str) -> str | None:
    return worker_queue(name, (*RESERVED, "celery"))


def _template(text: str) -> str:
    return placeholders.checked(text, TEMPLATE_FIELDS)


class Notify(Policy):
    """Whom a run tells, when and how. Without `queue` the settings' queue; without `template` the
    contract's text; without `stale_after` a message is never too old. Of failures in a row the
    first is told, and then every `collapse`-th."""

    queue: Annotated[str | None, word(200, "a queue name"), AfterValidator(_bot_queue)] = None
    on: Annotated[
        tuple[Event, ...],
        AfterValidator(lambda events: tuple(dict.fromkeys(events))),
        few(100),
        Field(description=f"a list of any of {_EVENTS}"),
    ] = ("success", "failure")
    template: Annotated[str | None, text(4000), AfterValidator(_template)] = None
    stale_after: Annotated[float | None, seconds(YEAR, above=0)] = None
    collapse: Annotated[int, whole(1, 10_000)] = 1


class Retry(Policy):
    """Attempts of a run; the n-th wait is random in 0 … min(backoff * 2**(n-1), max_backoff) s."""

    max_attempts: Annotated[int, whole(1, 100)] = 1
    backoff: Annotated[float, seconds(WEEK)] = 10.0
    max_backoff: Annotated[float, seconds(WEEK)] = 600.0

    def wait(self, failed: int, chance: float) -> float:
        """Seconds until the next attempt after `failed` ones; `chance` is in 0 … 1."""
        return chance * min(self.backoff * 2.0 ** (failed - 1), self.max_backoff)


class Catchup(Policy):
    """Which of the ticks missed while nothing ran are made up for; older than `window` s: none."""

    policy: Annotated[Literal["one", "none", "all"], Field(description="one, none or all")] = "one"
    window: Annotated[float, seconds(YEAR)] = 3600.0
