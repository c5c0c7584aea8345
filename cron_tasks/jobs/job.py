"""A valid job, and the small document in which it is stored for workers to read. Pure."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
)

from cron_tasks.errors import CronTasksError, ScheduleError
from cron_tasks.jobs.actions import MODELS, Action, NotifyAction, check_heartbeat_url
from cron_tasks.jobs.fields import (
    JobPart,
    Text100,
    integer_field,
    limit_items,
    seconds_field,
    text_field,
    word_field,
)
from cron_tasks.jobs.messages import (
    describe_fields,
    describe_unknown_fields,
    explain_errors,
    format_faults,
)
from cron_tasks.jobs.policies import Catchup, Notify, Retry, check_worker_queue
from cron_tasks.jobs.row import LEFT_OUT, MAPPED_TO_NULL, MOST_LEFT_OUT, NOTES, SWITCHES
from cron_tasks.schedules import Schedule, from_spec, parse
from cron_tasks.schedules.durations import WEEK
from cron_tasks.text.display import printable

_NULL = "CRON_TASKS_REST_MAPPING finds null in this row, so the job is enabled"


class BrokenDocument(CronTasksError, ValueError):
    """A stored job cannot be read. The text gives the reason in one sentence."""


class Job(BaseModel):
    """A valid row. docs/contract.md, section 3, fixes its fields, their types and their defaults.

    The fields of the schedule have become `schedule`. `written` is the rule as its owner wrote it,
    if `schedule` spells it differently. Unknown fields are kept in `extra`. Durations are in
    seconds.
    """

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, text_field(200)]
    name: Annotated[str, text_field(1000)]
    enabled: Annotated[
        bool,
        Field(validation_alias=AliasChoices("enabled", "is_active"), description="true or false"),
    ] = True
    action: Action = NotifyAction(type="notify")
    chat_id: Annotated[
        Annotated[int, integer_field(-(2**63), 2**63 - 1)] | Annotated[str, text_field(200)] | None,
        Field(description="a whole number, or text of 1 to 200 characters"),
    ] = None
    notify: Annotated[Notify, Field(description='an object such as {"on": ["failure"]}')] = Notify()
    retry: Annotated[Retry, Field(description='an object such as {"max_attempts": 3}')] = Retry()
    timeout: Annotated[float, seconds_field(WEEK, above=0)] = 300.0
    overlap: Annotated[
        Literal["skip", "queue", "allow", "replace"],
        Field(description="skip, queue, allow or replace"),
    ] = "skip"
    catchup: Annotated[
        Catchup, Field(description='an object such as {"policy": "one", "window": 3600}')
    ] = Catchup()
    expect_within: Annotated[float | None, seconds_field(WEEK, above=0)] = None
    heartbeat_url: Annotated[
        str | None, word_field(2000, "a URL"), AfterValidator(check_heartbeat_url)
    ] = None
    queue: Annotated[
        str | None, word_field(200, "a queue name"), AfterValidator(check_worker_queue)
    ] = None
    priority: Annotated[int | None, integer_field(0, 9)] = None
    tags: Annotated[
        tuple[Text100, ...],
        limit_items(50),
        Field(description="a list of at most 50 texts of 1 to 100 characters"),
    ] = ()

    schedule: InstanceOf[Schedule]
    written: str | None = None
    extra: Annotated[dict[str, Any], Field(default_factory=dict)]

    @property
    def expression(self) -> str:
        """Return the rule as its owner wrote it: `0 9 * * *`, `@daily`, `PT15M`, `FREQ=DAILY`."""
        return self.written or rule_text(self.schedule)

    @property
    def timezone(self) -> str:
        return self.schedule.timezone

    def lacks_recipient(self, default_chat: object) -> bool:
        """Return whether its notifications reach nobody, because none names a chat."""
        return self.chat_id is None and default_chat is None and bool(self.notify.on)

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """Return the fields of the row that no job has, such as `retry.max_atempts`."""
        unknown = [name for name in self.extra if name not in NOTES]
        for name in _NESTED:
            if name in self.model_fields_set:
                part: JobPart = getattr(self, name)
                unknown += [f"{name}.{field}" for field in part.model_extra or ()]
        return tuple(unknown)

    @property
    def lost_switches(self) -> tuple[str, ...]:
        """Return a line for each switch that the mapping lost, so that the job is enabled."""
        return tuple(f"`{name}`: {_NULL}" for name in self._mapped_to_null())

    @property
    def left_out(self) -> tuple[str, ...]:
        """Return a line for each fault of a field that is left out because it is only shown."""
        faults = self.extra.get(LEFT_OUT)
        lines = faults if isinstance(faults, list) else []
        return tuple(f"left out: {printable(str(line), 400)}" for line in lines[:MOST_LEFT_OUT])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a line that names the unknown fields, and `lost_switches` and `left_out`."""
        unknown = self.unknown_fields
        ignored = [describe_unknown_fields(unknown, KNOWN_FIELDS)] if unknown else []
        return (*ignored, *self.lost_switches, *self.left_out)

    def _mapped_to_null(self) -> list[str]:
        names = self.extra.get(MAPPED_TO_NULL)
        return [name for name in SWITCHES if isinstance(names, list) and name in names]

    def to_document(self, replaced: Mapping[str, Any] = MappingProxyType({})) -> bytes:
        """Return the fields that differ from their defaults, as JSON that `from_document` reads.

        `replaced` are values in place of those of the job.
        """
        schedule = _schedule_spec(self.schedule)
        given = {**self._non_default_fields(), "schedule": schedule, **replaced}
        return orjson.dumps(given, default=_dump_part)

    def _non_default_fields(self) -> dict[str, Any]:
        given = sorted(self.model_fields_set)
        return {n: v for n in given if (v := getattr(self, n)) is not _DEFAULTS[n] != v}

    @classmethod
    def from_document(cls, data: bytes | str) -> "Job":
        """Read a job from a document. Raises BrokenDocument, and nothing else, on other data."""
        try:
            fields = orjson.loads(data)
            fields["schedule"] = from_spec(fields["schedule"])
            return cls.model_validate(fields)
        except orjson.JSONDecodeError as error:
            reason = f"is not JSON: {error}"
        except (LookupError, TypeError):
            reason = "has no schedule"
        except ScheduleError as error:
            reason = f"has a wrong schedule: {error}"
        except ValidationError as error:
            reason = "; ".join(format_faults(explain_errors(error, EXPECTED).items()))
        raise BrokenDocument(f"the job's document {printable(reason, 400)}")


def _dump_part(part: JobPart) -> dict[str, Any]:
    return part.model_dump(exclude_defaults=True, by_alias=True)


_NESTED: dict[str, tuple[type[JobPart], ...]] = {
    "action": MODELS,
    "notify": (Notify,),
    "retry": (Retry,),
    "catchup": (Catchup,),
}
#: The fields of a schedule. `parse` checks them.
TIMING = tuple(name for name in parse.__kwdefaults__ or () if name != "identity")
_COMPUTED = {"schedule", "written", "extra"}
#: All other fields of a row.
OPTIONS = Job.model_fields.keys() - _COMPUTED | {"is_active"}
#: The valid values of each field, by its path.
EXPECTED = describe_fields(Job, _NESTED) | {"is_active": "true or false"}
#: All fields of a row, and those of its objects by their path.
KNOWN_FIELDS = (*TIMING, *(name for name in EXPECTED if name not in _COMPUTED))
_DEFAULTS = {
    name: field.get_default(call_default_factory=True) for name, field in Job.model_fields.items()
}


@lru_cache(maxsize=16384)
def _schedule_spec(schedule: Schedule) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(schedule.to_spec()))


@lru_cache(maxsize=16384)
def rule_text(schedule: Schedule) -> str:
    """Return the rule of a schedule as `schedule` itself spells it."""
    spec = schedule.to_spec()
    return str(next(spec[kind] for kind in "cetr" if kind in spec))
