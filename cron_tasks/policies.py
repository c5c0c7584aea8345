"""The parts of a job: what a run does, whom it tells, what becomes of failure and delay.

Section 3 of the contract. The `description` of a field is what its error message says was
expected, so it is made together with the bounds.
"""

from string import Template
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cron_tasks.faults import wire_names
from cron_tasks.text import kept, shown, to_json

#: What a `notify.template` may name; `time` is the scheduled time in the job's zone.
TEMPLATE_FIELDS = (
    *("name", "id", "run_id", "scheduled_for", "created_at", "attempt", "status", "error", "time"),
)

_Events = Literal["success", "failure", "retry", "skipped", "missed", "recovered"]
_EVENTS = ", ".join(get_args(_Events))
Event = Annotated[_Events, Field(description=f"one of {_EVENTS}")]

#: Longest body, and longest JSON, of an action.
MAX_BYTES = 65_536
WEEK = 7 * 86_400
YEAR = 366 * 86_400
_RESERVED = ("redbeat:", "cron_tasks:", "_kombu.", "unacked")
_VISIBLE = r"^[\p{L}\p{M}\p{N}\p{P}\p{S}]+$"
_TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"  # RFC 9110 section 5.6.2  # noqa: S105
_HEADER_VALUE = r"^([!-~\u{a1}-\u{ff}][\t -~\u{a0}-\u{ff}]*)?$"


def text(most: int, what: str = "text") -> Any:
    expected = f"{what} of 1 to {most} characters"
    return Field(strict=True, min_length=1, max_length=most, description=expected)


def word(most: int, what: str) -> Any:
    expected = f"{what} of 1 to {most} printable characters without spaces"
    return Field(strict=True, min_length=1, max_length=most, pattern=_VISIBLE, description=expected)


def whole(least: int, most: int) -> Any:
    expected = f"a whole number from {least} to {most}"
    return Field(strict=True, ge=least, le=most, description=expected)


def seconds(most: int, *, above: int | None = None) -> Any:
    """A number of seconds from 0, or greater than `above`, to `most`."""
    least = f"from 0 to {most}" if above is None else f"above {above}, at most {most}"
    expected = f"a number of seconds {least}"
    zero = 0 if above is None else None
    return Field(strict=True, ge=zero, gt=above, le=most, description=expected)


def worker_queue(name: str | None) -> str | None:
    """A queue that workers read. Raises ValueError on a key of the scheduler's own."""
    return name and _unreserved(name, _RESERVED)


def _bot_queue(name: str) -> str:
    return _unreserved(name, (*_RESERVED, "celery"))


def _unreserved(name: str, reserved: tuple[str, ...]) -> str:
    if name.startswith(reserved):
        raise ValueError(f"{shown(name)} is a name that Celery or the scheduler uses itself")
    return name


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"expected an http or https URL with a host, got {shown(url)}")
    return url


def _small_json(value: Any) -> Any:
    try:
        data = to_json(value)
    except ValueError as error:
        raise ValueError(f"expected a JSON value that can be stored: {error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes of JSON, got {len(data)}")
    return orjson.loads(data)


def _known_placeholders(text: str) -> str:
    for match in Template.pattern.finditer(text):
        if match["invalid"] is not None:
            at = match.start() + 1
            raise ValueError(f"the `$` at character {at} names no field; write `$$` for a `$`")
        name = match["named"] or match["braced"]
        if name and name not in TEMPLATE_FIELDS:
            known = ", ".join(TEMPLATE_FIELDS)
            raise ValueError(f"unknown placeholder {shown('$' + name)}; known: {known}")
    return text


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


Text100 = Annotated[str, text(100)]


class Policy(BaseModel):
    """Base: frozen, null means "not given", unknown fields are kept in `model_extra`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        given = {name: each for name, each in value.items() if each is not None}
        known = wire_names(cls)
        unknown = {name: given.pop(name) for name in list(given) if name not in known}
        return kept(unknown) | given


class Notify(Policy):
    """Whom a run tells, when and how. Without `queue` the settings' queue; without `template` the
    contract's text; without `stale_after` a message is never too old."""

    queue: Annotated[str | None, word(200, "a queue name"), AfterValidator(_bot_queue)] = None
    on: Annotated[
        tuple[Event, ...],
        AfterValidator(lambda events: tuple(dict.fromkeys(events))),
        Field(max_length=100, description=f"a list of any of {_EVENTS}"),
    ] = ("success", "failure")
    template: Annotated[str | None, text(4000), AfterValidator(_known_placeholders)] = None
    stale_after: Annotated[float | None, seconds(YEAR, above=0)] = None


class Retry(Policy):
    """Attempts of a run; the n-th wait is random in 0 … min(backoff * 2**(n-1), max_backoff) s."""

    max_attempts: Annotated[int, whole(1, 100)] = 1
    backoff: Annotated[float, seconds(WEEK)] = 10.0
    max_backoff: Annotated[float, seconds(WEEK)] = 600.0


class Catchup(Policy):
    """Which of the ticks missed while nothing ran are made up for; older than `window` s: none."""

    policy: Annotated[Literal["one", "none", "all"], Field(description="one, none or all")] = "one"
    window: Annotated[float, seconds(YEAR)] = 3600.0


_TYPE = Field(description="notify, http or task")


class NotifyAction(Policy):
    """The run consists of its notification."""

    type: Annotated[Literal["notify"], _TYPE]


class HttpAction(Policy):
    """One HTTP request; an empty `expect_status` means any 2xx."""

    type: Annotated[Literal["http"], _TYPE]
    url: Annotated[str, word(2000, "a URL"), AfterValidator(_web_address)]
    headers: Annotated[
        dict[
            Annotated[str, Field(strict=True, max_length=200, pattern=_TOKEN)],
            Annotated[str, Field(strict=True, max_length=8000, pattern=_HEADER_VALUE)],
        ],
        Field(max_length=100, description="headers, names and values each one line of Latin-1"),
    ] = {}
    body: Annotated[str | None, text(MAX_BYTES)] = None
    payload: Annotated[Any, AfterValidator(_small_json), Field(alias="json")] = None
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] | None,
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
        Field(description="GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"),
    ] = None
    expect_status: Annotated[
        tuple[Annotated[int, whole(100, 599)], ...],
        BeforeValidator(_listed),
        Field(max_length=100, description="an HTTP status or a list of them"),
    ] = ()

    @model_validator(mode="after")
    def _one_body(self) -> "HttpAction":
        if self.body is not None and self.payload is not None:
            raise ValueError("give `body` or `json`, not both")
        return self

    @property
    def verb(self) -> str:
        """`method`; where it is not given, POST with a body and GET without, as in curl(1)."""
        bare = self.body is None and self.payload is None
        return self.method or ("GET" if bare else "POST")


class TaskAction(Policy):
    """A Celery task; only names that the operator allowed (TASKS_ALLOW) run."""

    type: Annotated[Literal["task"], _TYPE]
    name: Annotated[str, word(200, "the name of a Celery task")]
    args: Annotated[
        list[Any], AfterValidator(_small_json), Field(strict=True, description="a list")
    ] = []
    kwargs: Annotated[
        dict[str, Any], AfterValidator(_small_json), Field(strict=True, description="an object")
    ] = {}


Action = Annotated[
    NotifyAction | HttpAction | TaskAction,
    Field(discriminator="type", description='an object such as {"type": "notify"}'),
]
