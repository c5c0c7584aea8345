"""Types for the values of settings, with validators that explain what is wrong.

A message follows "expected …, got …: ", so it adds only what those two leave out.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from cron_tasks.http import addresses
from cron_tasks.http.hosts import with_ascii_host
from cron_tasks.store.keys import CELERY_CONTROL, CELERY_EVENTS, RESERVED
from cron_tasks.store.urls import parse_redis_url
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.suggestions import suggest_nearest
from cron_tasks.text.urls import split_url

#: The names that REST_MAPPING may map: the array of jobs, the next page, and each field of a job.
MAPPABLE = (
    *("jobs", "next", "id", "name", "cron_expression", "every", "run_at", "rrule", "timezone"),
    *("enabled", "is_active", "start_at", "end_at", "exclude", "jitter", "action", "chat_id"),
    *("notify", "retry", "timeout", "overlap", "catchup", "queue", "priority", "tags"),
    *("expect_within", "heartbeat_url"),
)


def _normalize_redis_url(url: SecretStr) -> SecretStr:
    return SecretStr(str(parse_redis_url(url.get_secret_value())))


def _normalize_base_url(url: str) -> str:
    parts = split_url(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it has to start with http:// or https:// and a host")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it must not have a query or a user: tokens are settings of their own")
    return with_ascii_host(url).rstrip("/")


def _normalize_source_url(url: str) -> str:
    parts = split_url(url)
    if parts.scheme != "file":
        return _normalize_base_url(url)
    if parts.netloc not in ("", "localhost") or len(parts.path) < 2:
        raise ValueError("a file has the form file:///path/to/jobs.json")
    if parts.query or parts.fragment:
        raise ValueError("in the path of a file, ? is written %3F and # is written %23")
    return f"file://{parts.path.rstrip('/')}"


def _check_visible(text: str) -> str:
    if not all("!" <= char <= "~" for char in text):
        raise ValueError("it contains a space, a line break or a character beyond ASCII")
    return text


def _check_id_placeholder(path: str) -> str:
    if "{id}" not in path:
        raise ValueError("{id} has to mark the place of the job's id")
    return path


def _check_token(token: SecretStr) -> SecretStr:
    _check_visible(token.get_secret_value())
    return token


def _check_scheme(scheme: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", scheme):
        raise ValueError("it contains a character that a scheme cannot have")
    return scheme


def _check_header(name: str, value: SecretStr) -> None:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):  # RFC 9110, section 5.6.2
        raise ValueError(f"{short_repr(name)} cannot be the name of a header")
    if name.lower() in ("authorization", "host", "content-length", "transfer-encoding"):
        raise ValueError(f"{name} is set by cron-tasks itself: CRON_TASKS_REST_TOKEN is for tokens")
    text = value.get_secret_value()
    if text != text.strip() or not text.isprintable() or not text.isascii():
        raise ValueError(f"the value of {name} is not one line of visible ASCII characters")


def _check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        _check_header(name, value)
    return headers


def _normalize_pagination(text: str) -> str:
    text = text.strip().lstrip("?")
    if text.lower() == "auto":
        return "auto"
    parameters = parse_qsl(text, keep_blank_values=True)
    if not any(value.isdecimal() for _, value in parameters):
        raise ValueError("a parameter has to have a number, which counts from page to page")
    return text


def _read_json_or_file(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    where = ""
    try:
        if not value.lstrip().startswith("{"):
            where = f"the file {printable(value)}: "
            value = Path(value).expanduser().read_text("utf-8")
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}not JSON: {error}") from None
    except (OSError, ValueError, RuntimeError) as error:  # RecursionError is a RuntimeError
        raise ValueError(f"{where}{getattr(error, 'strerror', None) or error}") from None


def _check_mapping(mapping: dict[str, str]) -> dict[str, str]:
    if not mapping:
        return mapping
    from cron_tasks.settings.expressions import explain_fault  # Importing JMESPath takes 0.03 s.

    for name, path in mapping.items():
        if name not in MAPPABLE:
            raise ValueError(
                f"a job has no field {short_repr(name)}{suggest_nearest(name, MAPPABLE)}"
            )
        if fault := explain_fault(path):
            what = f"{short_repr(path)} for {name!r} is not a JMESPath expression"
            raise ValueError(f"{what}: {fault}")
    return mapping


def _check_bot_queue(name: str) -> str:
    return _check_queue_name(name, (*RESERVED, "celery"))


def _check_worker_queue(name: str) -> str:
    return _check_queue_name(name, (*RESERVED, CELERY_EVENTS))


def _check_queue_name(name: str, reserved: tuple[str, ...]) -> str:
    if name.startswith(reserved):
        raise ValueError(f"names that start with {', '.join(reserved)} are reserved")
    if name.endswith(CELERY_CONTROL):
        raise ValueError(f"names that end with {CELERY_CONTROL} are reserved")
    if not name.isprintable() or " " in name:
        raise ValueError("it contains a space or an unprintable character")
    return name


def _read_chat_id(value: Any) -> Any:
    """Return a numeric chat id as a number, which bots expect. The environment has only text."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value) if str(int(value)) == value else value
    return value


def _check_zone(name: str) -> str:
    from cron_tasks.schedules.zones import find_zone  # This import takes 0.05 s.

    return find_zone(name).key


def _split_list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(filter(None, (each.strip() for each in value.split(","))))


def _check_task_pattern(pattern: str) -> str:
    if not pattern.isprintable() or " " in pattern:
        raise ValueError(f"{short_repr(pattern)} contains a space or an unprintable character")
    return pattern


def _check_folder(path: Path) -> Path:
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {printable(str(path.parent))}")
    return path


RedisUrl = Annotated[SecretStr, AfterValidator(_normalize_redis_url)]
BaseUrl = Annotated[str, AfterValidator(_normalize_base_url)]
SourceUrl = Annotated[str, AfterValidator(_normalize_source_url)]
UrlPath = Annotated[str, Field(pattern="^/"), AfterValidator(_check_visible)]
JobPath = Annotated[
    str,
    Field(pattern=r"^(/|\{REST_JOBS_PATH\})"),
    AfterValidator(_check_visible),
    AfterValidator(_check_id_placeholder),
]
ReportPath = Annotated[UrlPath, AfterValidator(_check_id_placeholder)]
Token = Annotated[SecretStr, AfterValidator(_check_token)]
AuthScheme = Annotated[str, AfterValidator(_check_scheme)]
SecretHeaders = Annotated[
    dict[str, SecretStr],
    NoDecode,
    AfterValidator(_check_headers),
    BeforeValidator(_read_json_or_file),
]
Pagination = Annotated[str, AfterValidator(_normalize_pagination)]
Mapping = Annotated[
    dict[str, str], NoDecode, AfterValidator(_check_mapping), BeforeValidator(_read_json_or_file)
]
Queue = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_bot_queue)]
WorkerQueue = Annotated[
    str, Field(min_length=1, max_length=200), AfterValidator(_check_worker_queue)
]
ChatId = Annotated[
    int | Annotated[str, Field(min_length=1, max_length=200)], BeforeValidator(_read_chat_id)
]
HttpAllow = Annotated[
    tuple[Annotated[str, AfterValidator(addresses.normalize_rule)], ...],
    NoDecode,
    BeforeValidator(_split_list),
]
TasksAllow = Annotated[
    tuple[Annotated[str, AfterValidator(_check_task_pattern)], ...],
    NoDecode,
    BeforeValidator(_split_list),
]
File = Annotated[Path, AfterValidator(_check_folder)]
Zone = Annotated[str, AfterValidator(_check_zone)]
