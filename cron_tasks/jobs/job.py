"""The contract with the REST service: a row of its list becomes a Job, or is Rejected with reasons.

Every fault of a row is reported at once, in words for the person who edits it; nothing that a row
may hold makes `validate` raise. What is valid is stored as a small document, which workers read.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
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
from cron_tasks.jobs.actions import MODELS, Action, NotifyAction
from cron_tasks.jobs.fields import WEEK, Policy, Text100, few, seconds, text, whole, word
from cron_tasks.jobs.messages import expectations, faults, unknown_fields
from cron_tasks.jobs.permissions import Limits
from cron_tasks.jobs.policies import Catchup, Notify, Retry, worker_queue
from cron_tasks.schedules import Schedule, from_spec, parse
from cron_tasks.text.display import printable, printable_key, short_repr
from cron_tasks.text.stored_json import to_storable, to_storable_fields

#: Part of every fingerprint: raised when the same row would make another document.
FORMAT = b"2"
#: 200 digits.
_LONG_ID = 10**199
#: What is said of a job, not by it: our own reports (report.py), and when its row was last saved.
REMARKS = frozenset(
    {"last_run_at", "last_status", "last_error", "next_run_at", "config_error"}
    | {"updated_at", "updated", "modified_at", "modified"}
)
#: What `source.mapping` adds to a row: the switches for which REST_MAPPING found null.
MAPPED_TO_NULL = "mapped_to_null"
_KINDS = ("cron_expression", "every", "run_at", "rrule")
#: Errors told of one row.
MOST_ERRORS = 50
#: Bytes of JSON that one field of a schedule may take.
_LONGEST = 65_536
_SWITCHES = ("enabled", "is_active")
_NULL = "CRON_TASKS_REST_MAPPING finds null in this row, so the job is enabled"
#: Nothing beyond what every job may do.
NO_LIMITS = Limits()
_ID = "a whole number, or text of 1 to 200 printable characters"


class BrokenDocument(CronTasksError, ValueError):
    """A stored job cannot be read; the text says why in one sentence."""


class Job(BaseModel):
    """A valid row. Fields, types and defaults are section 3 of the contract; those of the schedule
    have become `schedule` (with `written` where it words its rule otherwise), unknown ones are kept
    in `extra`. Durations are in seconds."""

    model_config = ConfigDict(frozen=True)

    id: Annotated[str, text(200)]
    name: Annotated[str, text(1000)]
    enabled: Annotated[
        bool,
        Field(validation_alias=AliasChoices("enabled", "is_active"), description="true or false"),
    ] = True
    action: Action = NotifyAction(type="notify")
    chat_id: Annotated[
        Annotated[int, whole(-(2**63), 2**63 - 1)] | Annotated[str, text(200)] | None,
        Field(description="a whole number, or text of 1 to 200 characters"),
    ] = None
    notify: Annotated[Notify, Field(description='an object such as {"on": ["failure"]}')] = Notify()
    retry: Annotated[Retry, Field(description='an object such as {"max_attempts": 3}')] = Retry()
    timeout: Annotated[float, seconds(WEEK, above=0)] = 300.0
    overlap: Annotated[
        Literal["skip", "queue", "allow", "replace"],
        Field(description="skip, queue, allow or replace"),
    ] = "skip"
    catchup: Annotated[
        Catchup, Field(description='an object such as {"policy": "one", "window": 3600}')
    ] = Catchup()
    queue: Annotated[str | None, word(200, "a queue name"), AfterValidator(worker_queue)] = None
    priority: Annotated[int | None, whole(0, 9)] = None
    tags: Annotated[
        tuple[Text100, ...],
        few(50),
        Field(description="a list of at most 50 texts of 1 to 100 characters"),
    ] = ()

    schedule: InstanceOf[Schedule]
    written: str | None = None
    extra: Annotated[dict[str, Any], Field(default_factory=dict)]

    @property
    def expression(self) -> str:
        """The rule as its owner wrote it: `0 9 * * *`, `@daily`, `PT15M`, `FREQ=DAILY`."""
        return self.written or _rule(self.schedule)

    @property
    def timezone(self) -> str:
        return self.schedule.timezone

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line that names the unknown fields, and one for `enabled` if the mapping lost it."""
        unknown = [name for name in self.extra if name != MAPPED_TO_NULL]
        for name in _NESTED:
            policy: Policy = getattr(self, name)
            unknown += [f"{name}.{field}" for field in policy.model_extra or ()]
        told = [unknown_fields(tuple(unknown), _KNOWN)] if unknown else []
        return (*told, *(f"`{name}`: {_NULL}" for name in self._mapped_to_null()))

    def _mapped_to_null(self) -> list[str]:
        names = self.extra.get(MAPPED_TO_NULL)
        return [name for name in _SWITCHES if isinstance(names, list) and name in names]

    def document(self) -> bytes:
        """Compact JSON of what differs from the defaults; `from_document` reads it."""
        given = self._given() | {"schedule": _spec(self.schedule)}
        return orjson.dumps(given, default=_plain)

    def _given(self) -> dict[str, Any]:
        """The fields that differ from their defaults."""
        said = sorted(self.model_fields_set)
        return {n: v for n in said if (v := getattr(self, n)) is not _DEFAULTS[n] != v}

    @classmethod
    def from_document(cls, data: bytes | str) -> "Job":
        """The job of a document. Raises BrokenDocument, and nothing else, on any other data."""
        try:
            fields = orjson.loads(data)
            fields["schedule"] = from_spec(fields["schedule"])
            return cls.model_validate(fields)
        except orjson.JSONDecodeError as error:
            reason = f"is not JSON: {error}"
        except (LookupError, TypeError):
            reason = "holds no schedule"
        except ScheduleError as error:
            reason = f"holds a wrong schedule: {error}"
        except ValidationError as error:
            reason = "; ".join(_sentences(faults(error, _EXPECTED).items()))
        raise BrokenDocument(f"the job's document {printable(reason, 400)}")


def _plain(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(exclude_defaults=True, by_alias=True)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is no job: every reason, and where in the list it stood ("row 17")."""

    id: str | None
    place: str
    errors: tuple[str, ...]
    row: Any


class Unreadable(dict[str, Any]):
    """What is left of a row that cannot be read as it is, and the reason; it is rejected."""

    def __init__(self, row: dict[str, Any], reason: str) -> None:
        super().__init__(row)
        self.reason = reason


_NESTED: dict[str, tuple[type[Policy], ...]] = {
    "action": MODELS,
    "notify": (Notify,),
    "retry": (Retry,),
    "catchup": (Catchup,),
}
#: The fields of a schedule, which `parse` judges.
TIMING = tuple(name for name in parse.__kwdefaults__ or () if name != "identity")
_COMPUTED = {"schedule", "written", "extra"}
_OPTIONS = Job.model_fields.keys() - _COMPUTED | {"is_active"}
_EXPECTED = expectations(Job, _NESTED) | {"is_active": "true or false"}
_KNOWN = (*TIMING, *(name for name in _EXPECTED if name not in _COMPUTED))
_DEFAULTS = {
    name: field.get_default(call_default_factory=True) for name, field in Job.model_fields.items()
}


def job_id(row: Any) -> str | None:
    """The identity of a row as text (7 and "7" are the same job); None when it has none."""
    identity = row.get("id") if isinstance(row, dict) else None
    if isinstance(identity, str):
        return identity if 0 < len(identity) <= 200 and identity.isprintable() else None
    if isinstance(identity, int) and not isinstance(identity, bool):
        return str(identity) if abs(identity) < _LONG_ID else None
    return None


def fingerprint(row: Any, salt: str) -> str:
    """16 characters that are the same as long as the row, `salt` and this version's format are.

    REMARKS do not count, so that a report which comes back in the next list changes nothing.
    """
    if isinstance(row, dict) and not row.keys().isdisjoint(REMARKS):
        row = {name: value for name, value in row.items() if name not in REMARKS}
    try:
        canonical = orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        shape = row if isinstance(row, dict) else {"": row}
        plain = {printable_key(key): to_storable(value, 1 << 30) for key, value in shape.items()}
        canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(b"%b\0%b\0%b" % (FORMAT, salt.encode(), canonical), digest_size=12)
    return urlsafe_b64encode(digest.digest()).decode()


def validate(
    row: Any, *, timezone: str, place: str = "", limits: Limits = NO_LIMITS
) -> Job | Rejected:
    """The job that `row` describes, or every reason why it describes none; never raises.

    `timezone` is that of a job which names none, `place` where the row stands ("row 17"), `limits`
    what the operator lets jobs do.
    """
    if not isinstance(row, dict):
        return Rejected(None, place, (f"expected an object, got {short_repr(row)}",), row)
    identity = job_id(row)
    if isinstance(row, Unreadable):
        return Rejected(identity, place, (row.reason,), dict(row))
    timing, options, unknown = _split(row)
    found: list[tuple[str, str]] = []
    if options.keys() >= {"enabled", "is_active"} and options["enabled"] != options["is_active"]:
        found.append(("is_active", "contradicts `enabled`"))
    if identity is None:
        found.append(("id", f"expected {_ID}, got {short_repr(options.pop('id', None))}"))
    else:
        options["id"] = identity
    if unknown:
        options["extra"] = to_storable_fields(unknown)
    try:
        given = {"timezone": timezone, **timing}
        schedule = options["schedule"] = parse(**given, identity=identity or "")
        options["written"] = _written(timing, schedule)
    except ScheduleError as error:
        found += error.errors
    try:
        job = Job.model_validate(options)
        if "action" in options:
            found += limits.faults(job.action)
    except ValidationError as error:
        wrong = faults(error, _EXPECTED)
        found += [item for item in wrong.items() if item[0] not in ("id", "schedule")]
    if found:
        sentences = dict.fromkeys(_sentences(found))
        return Rejected(identity, place, tuple(sentences)[:MOST_ERRORS], row)
    return job


def _split(row: dict[Any, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[Any, Any]]:
    """What a row says of its schedule, what else, and what nobody knows.

    null says nothing, and so does an empty text (the null of many database columns) unless the
    field is required.
    """
    timing: dict[str, Any] = {}
    options: dict[str, Any] = {}
    unknown: dict[Any, Any] = {}
    for name, value in row.items():
        if value is None or (value == "" and name not in ("id", "name")) or name in REMARKS:
            continue
        if name in TIMING:
            # NaN and Infinity are not JSON: null would say that the field is missing.
            finite = not isinstance(value, float) or isfinite(value)
            timing[name] = to_storable(value, _LONGEST) if finite else str(value)
        else:
            (options if name in _OPTIONS else unknown)[name] = value
    return timing, options, unknown


@lru_cache(maxsize=16384)
def _spec(schedule: Schedule) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(schedule.to_spec()))


@lru_cache(maxsize=16384)
def _rule(schedule: Schedule) -> str:
    spec = schedule.to_spec()
    return str(next(spec[kind] for kind in "cetr" if kind in spec))


def _written(timing: dict[str, Any], schedule: Schedule) -> str | None:
    """The rule's own text in the row; None when the schedule words it alike."""
    text = next(str(timing[kind]) for kind in _KINDS if str(timing.get(kind, "")).strip())
    return None if text == _rule(schedule) else text


def _sentences(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    for field, message in found:
        place = f"`{printable(field, 80)}`: " if field else ""
        yield place + printable(message, 400)
