"""The actions that a job may name, and their fields (docs/contract.md, section 3). Pure."""

from collections.abc import Callable, Iterator
from functools import cache, reduce
from inspect import iscoroutinefunction
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from cron_tasks.http.hosts import host_of_url, is_host_header
from cron_tasks.jobs import plugins
from cron_tasks.jobs.confidential import mask_path, mask_written_url
from cron_tasks.jobs.fields import JobPart, integer_field, limit_items, text_field, word_field
from cron_tasks.jobs.placeholders import (
    RequestTemplate,
    check_placeholders,
    find_secrets,
    walk_texts,
)
from cron_tasks.text.display import short_repr
from cron_tasks.text.stored_json import to_json

#: The longest body, and the longest JSON, of an action.
MAX_BYTES = 65_536
#: The placeholders of a request, beside secrets. `time` is as in a notification.
REQUEST_FIELDS = ("name", "id", "run_id", "scheduled_for", "attempt", "time")
_TOKEN = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"  # RFC 9110 section 5.6.2  # noqa: S105
_HEADER_VALUE = r"^([!-~\u{a1}-\u{ff}][\t -~\u{a0}-\u{ff}]*)?$"
#: Headers that belong to the connection, or that decide how a body is read.
_OWN_HEADERS = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "keep-alive", "te", "trailer"}
    | {"proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade"}
)


def check_url(url: str, mask: Callable[[str], str] = mask_written_url) -> str:
    """Return `url` if it is an http or https URL with a host.

    Raises ValueError, which shows the URL as `mask` returns it.
    """
    try:
        parts = urlsplit(url)
        host = host_of_url(parts)
        usable = parts.scheme in ("http", "https") and host and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"expected an http or https URL with a host, got {short_repr(mask(url))}")
    if "$" in host:
        raise ValueError(
            f"a placeholder cannot stand in the host of a URL, got {short_repr(mask(url))}"
        )
    return url


def check_heartbeat_url(url: str) -> str:
    """Do the same for a URL whose path is a secret."""
    return check_url(url, mask_path)


def _check_request_text(text: str) -> str:
    return check_placeholders(text, REQUEST_FIELDS, RequestTemplate)


def _check_request_json(value: Any) -> Any:
    for each in walk_texts(value):
        _check_request_text(each)
    return value


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    names = [name.lower() for name in headers]
    for name in names:
        if name in _OWN_HEADERS:
            raise ValueError(f"{name} cannot be set: it belongs to the connection")
        if names.count(name) > 1:
            raise ValueError(f"{name} is given more than once")
    for name, value in headers.items():
        # A value with a placeholder is checked when the run fills it in.
        if name.lower() == "host" and "$" not in value and not is_host_header(value):
            raise ValueError(f"{name} is a host or host:port in ASCII, got {short_repr(value)}")
    return headers


def _check_json(value: Any) -> Any:
    try:
        data = to_json(value)
    except ValueError as error:
        raise ValueError(f"expected a JSON value that can be stored: {error}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes of JSON, got {len(data)}")
    return orjson.loads(data)


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, int) else value


*_TYPES, _LAST_TYPE = (*plugins.BUILT_IN, *(plugins.load_models().keys() - set(plugins.BUILT_IN)))
_TYPE = Field(description=f"{', '.join(_TYPES)} or {_LAST_TYPE}")


class NotifyAction(JobPart):
    """No work at all: the run consists of its notification."""

    type: Annotated[Literal["notify"], _TYPE]


class HttpAction(JobPart):
    """One HTTP request. An empty `expect_status` accepts any 2xx."""

    type: Annotated[Literal["http"], _TYPE]
    url: Annotated[
        str,
        word_field(2000, "a URL"),
        AfterValidator(check_url),
        AfterValidator(_check_request_text),
    ]
    headers: Annotated[
        dict[
            Annotated[str, Field(strict=True, max_length=200, pattern=_TOKEN)],
            Annotated[
                str,
                Field(strict=True, max_length=8000, pattern=_HEADER_VALUE),
                AfterValidator(_check_request_text),
            ],
        ],
        AfterValidator(_check_headers),
        limit_items(100),
        Field(description="headers, names and values each one line of Latin-1"),
    ] = {}
    body: Annotated[str | None, text_field(MAX_BYTES), AfterValidator(_check_request_text)] = None
    payload: Annotated[
        Any, AfterValidator(_check_json), AfterValidator(_check_request_json), Field(alias="json")
    ] = None
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] | None,
        BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
        Field(description="GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"),
    ] = None
    expect_status: Annotated[
        tuple[Annotated[int, integer_field(100, 599)], ...],
        BeforeValidator(_as_tuple),
        limit_items(100),
        Field(description="an HTTP status or a list of them"),
    ] = ()

    @model_validator(mode="after")
    def _check_one_body(self) -> "HttpAction":
        if self.body is not None and self.payload is not None:
            raise ValueError("give `body` or `json`, not both")
        return self

    @property
    def host(self) -> str:
        return host_of_url(urlsplit(self.url))

    @property
    def effective_method(self) -> str:
        """Return `method`. By default it is POST with a body and GET without one, as in curl(1)."""
        bare = self.body is None and self.payload is None
        return self.method or ("GET" if bare else "POST")

    @property
    def secret_references(self) -> Iterator[tuple[str, str]]:
        """Yield (field, name) for each secret that the request refers to."""
        places = {
            "url": (self.url,),
            "headers": self.headers.values(),
            "body": (self.body or "",),
            "json": walk_texts(self.payload),
        }
        for field, found in places.items():
            yield from ((field, name) for each in found for name in find_secrets(each))


class TaskAction(JobPart):
    """A Celery task. Its name has to be permitted by the setting TASKS_ALLOW."""

    type: Annotated[Literal["task"], _TYPE]
    name: Annotated[str, word_field(200, "the name of a Celery task")]
    args: Annotated[
        list[Any], AfterValidator(_check_json), Field(strict=True, description="a list")
    ] = []
    kwargs: Annotated[
        dict[str, Any], AfterValidator(_check_json), Field(strict=True, description="an object")
    ] = {}


#: The model of each action. Plug-ins come first, so that the descriptions of our fields replace
#: theirs where both have a field of that name.
MODELS: tuple[type[JobPart], ...] = (
    *plugins.load_models().values(),
    NotifyAction,
    HttpAction,
    TaskAction,
)
if TYPE_CHECKING:
    AnyAction = NotifyAction | HttpAction | TaskAction | plugins.CustomAction
else:
    AnyAction = reduce(or_, MODELS)
Action = Annotated[
    AnyAction, Field(discriminator="type", description='an object such as {"type": "notify"}')
]


#: Built-in actions that are coroutines.
_COROUTINES = frozenset({"http"})


@cache
def waits_on_loop(kind: str) -> bool:
    """Return whether actions of this type are coroutines, which wait on an event loop."""
    model = plugins.load_models().get(kind)
    return kind in _COROUTINES or iscoroutinefunction(getattr(model, "perform", None))
