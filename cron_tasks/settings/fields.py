"""Define the settings: names, defaults, meanings and valid values."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ByteSize,
    DirectoryPath,
    PrivateAttr,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import SettingsConfigDict

from cron_tasks.errors import SettingsError
from cron_tasks.settings import values
from cron_tasks.settings.alarms import AlarmSettings
from cron_tasks.settings.declaring import seconds as _seconds
from cron_tasks.settings.declaring import setting as _setting
from cron_tasks.settings.display import PREFIX, Row, format_value, variable_name
from cron_tasks.settings.tracing import TraceSettings
from cron_tasks.store.urls import parse_redis_url
from cron_tasks.text.urls import mask_passwords

#: Where Docker and Compose put secret files.
SECRETS_DIR = Path("/run/secrets")


class Settings(AlarmSettings, TraceSettings):
    """All settings, validated.

    `Settings(name=value)` uses only its arguments. `load` reads all sources.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    redis_url: values.RedisUrl = _setting(
        SecretStr("redis://localhost:6379/0"),
        "Broker, schedule, runs and queues. Also `rediss://`, `unix:///path/to.sock?db=0` and "
        "`sentinel://host:26379;sentinel://host2:26379/0?master_name=mymaster`",
        "a URL such as redis://[user:password@]host:6379/0",
    )
    rest_url: values.SourceUrl | None = _setting(
        None,
        "Base URL of the REST service, required, e.g. `http://rest_service:8000`. "
        "`file:///etc/cron_tasks/jobs.yaml` reads the jobs from a file or a folder instead",
        "the base URL of the REST service, e.g. http://rest_service:8000",
    )
    rest_jobs_path: values.UrlPath = _setting(
        "/api/cronjobs/", "Where the list of jobs is", "a path that starts with /"
    )
    rest_job_path: values.JobPath = _setting(
        "{REST_JOBS_PATH}{id}/",
        "Where a single job is, read when a poke names its id",
        "a path with {id} in it, such as /api/cronjobs/{id}/",
    )
    rest_token: values.Token | None = _setting(
        None,
        "Sent as `Authorization: Bearer …`. Never logged and never shown",
        "a token of visible ASCII characters",
    )
    rest_auth_scheme: values.AuthScheme = _setting(
        "Bearer",
        "The word before the token: `Token` for Django REST Framework. With `Basic` the token is "
        "`user:password`, or that in base64",
        "a word such as Bearer, Token or Basic",
    )
    rest_headers: values.SecretHeaders = _setting(
        {},
        "Further headers of each request, as JSON or the name of a file that contains it, e.g. "
        '`{"X-Api-Key": "…"}`. They are secrets: sent to the host of `REST_URL` only, and never '
        "shown",
        'JSON such as {"X-Api-Key": "secret"}, or a file that contains it',
    )
    rest_pagination: values.Pagination = _setting(
        "auto",
        "How the pages of the list are asked for. `auto` follows the links and numbers of each "
        "page. Otherwise query parameters of which the first counts: `page=1&size=100`, "
        "`offset=0&limit=100`",
        "auto, or query parameters such as page=1&size=100",
    )
    rest_timeout: float = _seconds(10, "Seconds for connecting, and for each read", 0.1, 600)
    rest_deadline: float = _seconds(
        60, "Seconds in which the whole list has to arrive, with all its pages", 1, 3600
    )
    rest_max_bytes: ByteSize = _setting(
        ByteSize(256 << 20),
        "The largest list that is read, e.g. `64MiB`",
        "a number of bytes, or a size such as 256MiB",
        gt=0,
    )
    rest_mapping: values.Mapping = _setting(
        {},
        "JMESPath by field where the service's shape differs, as JSON or the name of a file that "
        'contains it, e.g. `{"jobs": "checks", "id": "uuid", "cron_expression": "schedule"}`',
        'JSON such as {"id": "uuid"}, or a file that contains it',
    )
    rest_report_path: values.ReportPath | None = _setting(
        None,
        "Where the outcome of each job is reported with `PATCH`, e.g. `/api/cronjobs/{id}/`",
        "a path with {id} in it, such as /api/cronjobs/{id}/",
    )
    sync_interval: float = _seconds(60, "Seconds between syncs", 1, 86_400)
    shrink_limit: float = _setting(
        0.5,
        "A list that would remove more than this share of the known jobs (and more than 10) is "
        "rejected",
        "a share from 0 to 1",
        ge=0,
        le=1,
    )
    notify_queue: values.Queue = _setting(
        "queue:to_telegram",
        "Default queue for notifications",
        "the name of a queue, 1 to 200 characters",
    )
    notify_transport: Annotated[Literal["list", "stream"], BeforeValidator(str.lower)] = _setting(
        "list",
        "Type of the queues for notifications: `list` (RPUSH, bots take from the left) or `stream` "
        "(XADD, bots read in consumer groups)",
        "list or stream",
    )
    default_queue: values.WorkerQueue = _setting(
        "cron_tasks",
        "Celery queue of jobs that name none, and of syncs. Not `celery`, which other apps on the "
        "same Redis read: their workers would discard our messages, and ours theirs",
        "the name of a queue, 1 to 200 characters",
        validate_default=True,
    )
    notify_max: int = _setting(
        100_000,
        "The most messages in a queue. Beyond it the oldest are dropped, counted and reported",
        "a number from 1 to 100000000",
        ge=1,
        le=100_000_000,
    )
    chat_id: values.ChatId | None = _setting(
        None, "Default recipient", "a number or a name of 1 to 200 characters"
    )
    telegram_token: values.Token | None = _setting(
        None,
        "Token of the Telegram bot that `python -m cron_tasks.bot --telegram` posts as. Never "
        "logged and never shown",
        "a token of visible ASCII characters",
    )
    telegram_url: values.BaseUrl = _setting(
        "https://api.telegram.org",
        "Base URL of Telegram's Bot API",
        "the base URL of a Bot API, e.g. https://api.telegram.org",
    )
    bot_remember: float = _seconds(
        86_400,
        "Seconds for which our bot remembers the id of a handled message, so as not to handle it "
        "again",
        60,
        2_678_400,
    )
    timezone: values.Zone = _setting(
        "UTC", "Zone of jobs that name none", "an IANA time zone such as Europe/Berlin"
    )
    http_allow: values.HttpAllow = _setting(
        (),
        "Hosts (`api.intern`, `*.intern`), networks (`10.0.0.0/8`) or `*` that HTTP actions may "
        "reach besides public addresses, separated by commas",
        "hosts, networks or *, separated by commas",
    )
    keep_answers: bool = _setting(
        False,
        "Whether the history keeps the answer to a request that carried a secret. The secret is "
        "masked, but services may repeat it in a spelling that is not recognised",
        "true or false",
    )
    tasks_allow: values.TasksAllow = _setting(
        (),
        "Celery tasks that jobs may call: names or patterns such as `reports.*`, separated by "
        "commas",
        "names or patterns of tasks, separated by commas",
    )
    misfire_grace: float = _seconds(
        15,
        "Seconds by which a run may be late and still be on time. A later one follows the catch-up "
        "policy of its job",
        0,
        86_400,
    )
    history_runs: int = _setting(
        20, "Runs of a job that are kept", "a number from 1 to 10000", ge=1, le=10_000
    )
    history_days: float = _setting(
        7, "Days for which a run is kept", "a number above 0, at most 3660", gt=0, le=3660
    )
    audit_days: int = _setting(
        7,
        "Days for which the outcome of every scheduled run is known to `audit` and `why`",
        "a number from 1 to 366",
        ge=1,
        le=366,
    )
    log_format: Annotated[Literal["json", "console", "ecs"], BeforeValidator(str.lower)] = _setting(
        lambda: "console" if sys.__stderr__ and sys.__stderr__.isatty() else "json",
        "`json` (one line an event), `ecs` (documents of the Elastic Common Schema), or "
        "`console` (for people), the default on a terminal",
        "json, console or ecs",
    )
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)
    ] = _setting(
        "INFO",
        "Lowest level that is logged. `--loglevel` of a Celery command overrides it",
        "DEBUG, INFO, WARNING, ERROR or CRITICAL",
    )
    alive_file: values.File | None = _setting(
        None,
        "A file for health checks. A worker or beat touches it every 2 seconds while it works and "
        "Redis answers",
        "a file in a folder that exists",
    )
    secrets_dir: DirectoryPath | None = _setting(
        lambda: SECRETS_DIR if SECRETS_DIR.is_dir() else None,
        "Folder of secret files: those named after a variable, such as `CRON_TASKS_REST_TOKEN`, "
        "and those that jobs use. The default is `/run/secrets` if it exists",
        "a folder",
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(cls, *_: Any, **sources: Any) -> Any:
        """Read only the arguments. `load` reads the other sources, to know the origin of each."""
        return (sources["init_settings"],)

    @field_validator("default_queue")
    @classmethod
    def _keep_queues_apart(cls, name: str, info: ValidationInfo) -> str:
        if name == info.data.get("notify_queue"):
            raise ValueError("it is also CRON_TASKS_NOTIFY_QUEUE, which bots read")
        return name

    @property
    def origins(self) -> Mapping[str, str]:
        """Return where each value is from: environment, .env, secret file in /folder, default."""
        return {name: self._origins.get(name, "default") for name in type(self).model_fields}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each variable with our prefix that is not a setting."""
        return self._warnings

    @property
    def masked_redis_url(self) -> str:
        return mask_passwords(self.redis_url.get_secret_value())

    def require(self, name: str) -> Any:
        """Return the value of `name`. Raises SettingsError if it is not set."""
        value = getattr(self, name)
        if value is None:
            wanted = describe_valid_values(name)
            raise SettingsError(f"{variable_name(name)} is not set: give {wanted}")
        return value

    def secrets(self) -> frozenset[str]:
        """Return the texts that no log line may contain: tokens, and passwords in URLs."""
        given = (self.rest_token, self.telegram_token, *self.rest_headers.values())
        tokens = {each.get_secret_value() for each in given if each}
        redis_url = parse_redis_url(self.redis_url.get_secret_value())
        return frozenset(tokens | redis_url.spellings_of_password | self.secrets_of_heartbeat())

    def rows(self) -> list[Row]:
        """Return all settings in the order of the documentation."""
        fields = dict(type(self).model_fields)
        last = (*AlarmSettings.model_fields, *TraceSettings.model_fields)
        fields |= {name: fields.pop(name) for name in last}
        shown = {name: format_value(getattr(self, name)) for name in fields}
        shown["redis_url"] = self.masked_redis_url
        return [
            Row(variable_name(name), shown[name], self.origins[name], field.description or "")
            for name, field in fields.items()
        ]


def describe_valid_values(name: str) -> str:
    """Describe the valid values of a field."""
    extra = Settings.model_fields[name].json_schema_extra
    return str(extra["expected"]) if isinstance(extra, dict) else ""
