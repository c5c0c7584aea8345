"""The policies of a job: notifications, and the handling of failures and delays. Pure.

docs/contract.md, section 3, fixes their fields.
"""

from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from cron_tasks.jobs import placeholders
from cron_tasks.jobs.fields import (
    JobPart,
    integer_field,
    limit_items,
    seconds_field,
    text_field,
    word_field,
)
from cron_tasks.schedules.durations import WEEK, YEAR
from cron_tasks.store.keys import RESERVED
from cron_tasks.text.display import short_repr

#: The placeholders of a `notify.template`. `time` is the fire time in the job's zone.
TEMPLATE_FIELDS = (
    *("name", "id", "run_id", "scheduled_for", "created_at", "attempt", "status", "error", "time"),
)

_EventName = Literal["success", "failure", "retry", "skipped", "missed", "late", "recovered"]
_EVENT_LIST = ", ".join(get_args(_EventName))
Event = Annotated[_EventName, Field(description=f"one of {_EVENT_LIST}")]


def check_worker_queue(name: str | None, reserved: tuple[str, ...] = RESERVED) -> str | None:
    """Return `name` if workers may read a queue of that name.

    Raises ValueError if the name begins with one of `reserved`, like the scheduler's own keys.
    """
    if name and name.startswith(reserved):
        raise ValueError(f"{short_repr(name)} is a name that Celery or the scheduler uses itself")
    return name


def _check_bot_queue(name: str) -> str | None:
    return check_worker_queue(name, (*RESERVED, "celery"))


def _check_template(text: str) -> str:
    return placeholders.check_placeholders(text, TEMPLATE_FIELDS)


class Notify(JobPart):
    """Which events of a run are notified, where, and with what text.

    The default `queue` is CRON_TASKS_NOTIFY_QUEUE, and the default text is that of
    docs/contract.md, section 4. A notification is suppressed more than
    `stale_after` seconds after the fire time, by default never. When a job fails repeatedly, the
    first failure is notified and then every `collapse`-th.
    """

    queue: Annotated[
        str | None, word_field(200, "a queue name"), AfterValidator(_check_bot_queue)
    ] = None
    on: Annotated[
        tuple[Event, ...],
        AfterValidator(lambda events: tuple(dict.fromkeys(events))),
        limit_items(100),
        Field(description=f"a list of any of {_EVENT_LIST}"),
    ] = ("success", "failure")
    template: Annotated[str | None, text_field(4000), AfterValidator(_check_template)] = None
    stale_after: Annotated[float | None, seconds_field(YEAR, above=0)] = None
    collapse: Annotated[int, integer_field(1, 10_000)] = 1


class Retry(JobPart):
    """The number of attempts at a run, and the pauses between them.

    The n-th pause is random between 0 and min(backoff * 2**(n-1), max_backoff) seconds.
    """

    max_attempts: Annotated[int, integer_field(1, 100)] = 1
    backoff: Annotated[float, seconds_field(WEEK)] = 10.0
    max_backoff: Annotated[float, seconds_field(WEEK)] = 600.0

    def pause_after(self, failed: int, chance: float) -> float:
        """Return the seconds until the next attempt after `failed` failed ones.

        `chance`, from 0 to 1, is the part of the longest pause that is taken.
        """
        return chance * min(self.backoff * 2.0 ** (failed - 1), self.max_backoff)


class Catchup(JobPart):
    """The rule for ticks that were missed while nothing ran.

    Ticks more than `window` seconds old are never run late.
    """

    policy: Annotated[Literal["one", "none", "all"], Field(description="one, none or all")] = "one"
    window: Annotated[float, seconds_field(YEAR)] = 3600.0
