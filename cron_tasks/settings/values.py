"""What the value of a setting must be: types for fields.py whose errors say what is wrong.

A message follows "expected …, got …: ", so it says only what those two do not.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from cron_tasks.http import addresses
from cron_tasks.http.hosts import with_ascii_host
from cron_tasks.settings import urls
from cron_tasks.store.names import CELERY_CONTROL, RESERVED
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.suggestions import suggest_nearest

#: What REST_MAPPING may place: the array of jobs, the next page, and each field of a job.
MAPPABLE = (
    *("jobs", "next", "id", "name", "cron_expression", "every", "run_at", "rrule", "timezone"),
    *("enabled", "is_active", "start_at", "end_at", "exclude", "jitter", "action", "chat_id"),
    *("notify", "retry", "timeout", "overlap", "catchup", "queue", "priority", "tags"),
)
_RESERVED = (*RESERVED, "celery")


def _redis(url: SecretStr) -> SecretStr:
    return SecretStr(urls.normalised(url.get_secret_value()))


def _base_url(url: str) -> str:
    parts = urls.parsed(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it starts with http:// or https:// and a host")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it has no query, and no user: tokens are settings of their own")
    return with_ascii_host(url).rstrip("/")


def _visible(text: str) -> str:
    if not all("!" <= char <= "~" for char in text):
        raise ValueError("it holds a space, a line break or a character beyond ASCII")
    return text


def _with_id(path: str) -> str:
    if "{id}" not in path:
        raise ValueError("{id} says where the id of the job goes")
    return path


def _token(token: SecretStr) -> SecretStr:
    _visible(token.get_secret_value())
    return token


def _basic_or_word(scheme: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", scheme):
        raise ValueError("it holds a character that a scheme cannot have")
    return scheme


def _header(name: str, value: SecretStr) -> None:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):  # RFC 9110, section 5.6.2
        raise ValueError(f"{short_repr(name)} cannot be the name of a header")
    if name.lower() in ("authorization", "host", "content-length", "transfer-encoding"):
        raise ValueError(f"{name} is set by cron-tasks itself: CRON_TASKS_REST_TOKEN is for tokens")
    text = value.get_secret_value()
    if text != text.strip() or not text.isprintable() or not text.isascii():
        raise ValueError(f"the value of {name} is not one line of visible ASCII characters")


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        _header(name, value)
    return headers


def _pagination(text: str) -> str:
    text = text.strip().lstrip("?")
    if text.lower() == "auto":
        return "auto"
    parameters = parse_qsl(text, keep_blank_values=True)
    if not parameters or not parameters[0][1].isdecimal():
        raise ValueError("the first parameter has to have a number, which counts from page to page")
    return text


def _json_or_file(value: Any) -> Any:
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
    except (OSError, ValueError, RuntimeError) as error:  # a RecursionError is a RuntimeError
        raise ValueError(f"{where}{getattr(error, 'strerror', None) or error}") from None


def _expressions(mapping: dict[str, str]) -> dict[str, str]:
    if not mapping:
        return mapping
    from jmespath import compile as compile_path  # 0.03 s that only a mapping costs
    from jmespath.exceptions import JMESPathError

    for name, path in mapping.items():
        if name not in MAPPABLE:
            raise ValueError(
                f"a job has no field {short_repr(name)}{suggest_nearest(name, MAPPABLE)}"
            )
        try:
            compile_path(path)
        except JMESPathError as error:
            reason = printable(str(error).splitlines()[0])
            raise ValueError(f"{short_repr(path)} for {name!r} is no JMESPath: {reason}") from None
    return mapping


def _free_queue(name: str) -> str:
    if name.startswith(_RESERVED):
        raise ValueError(f"names that start with {', '.join(_RESERVED)} are taken")
    if name.endswith(CELERY_CONTROL):
        raise ValueError(f"names that end with {CELERY_CONTROL} are taken")
    if not name.isprintable() or " " in name:
        raise ValueError("it holds a space or a character that cannot be printed")
    return name


def _number_or_name(value: Any) -> Any:
    """Bots expect a chat id that is a number as a number, and the environment has only text."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 20:
        return int(value) if str(int(value)) == value else value
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        hint = suggest_nearest(name, available_timezones())
        raise ValueError(f"there is no such zone{hint}") from None
    return name


def _listed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(filter(None, (each.strip() for each in value.split(","))))


def _task_pattern(pattern: str) -> str:
    if not pattern.isprintable() or " " in pattern:
        raise ValueError(
            f"{short_repr(pattern)} holds a space or a character that cannot be printed"
        )
    return pattern


def _in_a_folder(path: Path) -> Path:
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {printable(str(path.parent))}")
    return path


RedisUrl = Annotated[SecretStr, AfterValidator(_redis)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
UrlPath = Annotated[str, Field(pattern="^/"), AfterValidator(_visible)]
ReportPath = Annotated[UrlPath, AfterValidator(_with_id)]
Token = Annotated[SecretStr, AfterValidator(_token)]
AuthScheme = Annotated[str, AfterValidator(_basic_or_word)]
SecretHeaders = Annotated[
    dict[str, SecretStr], NoDecode, AfterValidator(_headers), BeforeValidator(_json_or_file)
]
Pagination = Annotated[str, AfterValidator(_pagination)]
Mapping = Annotated[
    dict[str, str], NoDecode, AfterValidator(_expressions), BeforeValidator(_json_or_file)
]
Queue = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_free_queue)]
ChatId = Annotated[
    int | Annotated[str, Field(min_length=1, max_length=200)], BeforeValidator(_number_or_name)
]
HttpAllow = Annotated[
    tuple[Annotated[str, AfterValidator(addresses.rule)], ...], NoDecode, BeforeValidator(_listed)
]
TasksAllow = Annotated[
    tuple[Annotated[str, AfterValidator(_task_pattern)], ...], NoDecode, BeforeValidator(_listed)
]
File = Annotated[Path, AfterValidator(_in_a_folder)]
Zone = Annotated[str, AfterValidator(_zone)]
