"""The settings of alarms about runs that did not take place."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode

from cron_tasks.settings.declaring import seconds, setting
from cron_tasks.text.urls import check_web_url, split_url

#: Parts of a URL with at least this many characters count as tokens.
_TOKEN = 12


@dataclass(frozen=True, slots=True)
class DigestPlan:
    """The recipient of the digest, and its hour of the day in TIMEZONE (0 to 23)."""

    chat_id: int | str
    hour: int

    def __str__(self) -> str:
        return f"{self.chat_id},{self.hour}"


def _read_digest(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    chat, _, hour = (part.strip() for part in value.rpartition(","))
    if not chat or not (hour.isascii() and hour.isdecimal() and int(hour) < 24):
        raise ValueError("it has to name a chat and an hour from 0 to 23, with a comma between")
    if not chat.isprintable() or len(chat) > 200:
        raise ValueError("the chat has more than 200 characters, or an unprintable one")
    is_number = chat.isascii() and chat.removeprefix("-").isdecimal() and len(chat) < 20
    return DigestPlan(int(chat) if is_number else chat, int(hour))


def _check_heartbeat_url(url: SecretStr) -> SecretStr:
    check_web_url(url.get_secret_value())
    return url


class AlarmSettings(BaseSettings):
    """The settings of metrics, the heartbeat, and the digest."""

    metrics_port: int = setting(
        0,
        "Port at which a beat or a worker serves its metrics for Prometheus, on every interface "
        "and without a login. `0` is off. Each of them on a machine needs its own",
        "a port from 1 to 65535, or 0 for off",
        ge=0,
        le=65_535,
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_check_heartbeat_url)] | None = setting(
        None,
        "URL that the leading beat requests (GET) only while everything fires, workers are present "
        "and the list is fresh, e.g. of a check at Healthchecks. Never logged and never shown",
        "an http or https URL",
    )
    heartbeat_interval: float = seconds(60, "Seconds between two of these requests", 1, 86_400)
    digest: Annotated[DigestPlan | None, NoDecode, BeforeValidator(_read_digest)] = setting(
        None,
        "Chat and hour of a daily notification of late, missed and skipped runs, e.g. `100,8` "
        "for the chat 100 at 08:00 in `TIMEZONE`. Not sent if there were none",
        "a chat and an hour such as 100,8",
    )

    def secrets_of_heartbeat(self) -> frozenset[str]:
        """Return the parts of the heartbeat's URL that no log may contain: the whole URL, and its
        tokens."""
        if self.heartbeat_url is None:
            return frozenset()
        url = self.heartbeat_url.get_secret_value()
        parts = split_url(url)
        pieces = f"{parts.path}/{parts.query}".replace("=", "/").replace("&", "/").split("/")
        tokens = {each for piece in pieces for each in (piece, unquote(piece))}
        return frozenset({url, *(each for each in tokens if len(each) >= _TOKEN)})
