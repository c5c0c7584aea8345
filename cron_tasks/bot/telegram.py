"""A handler that posts each message to its chat with Telegram's Bot API.

API: https://core.telegram.org/bots/api#sendmessage
Limits: https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import orjson
import requests
import structlog
from redis import Redis
from redis.exceptions import RedisError
from urllib3.exceptions import HTTPError

from cron_tasks.bot.loop import Permanent, TryAgain
from cron_tasks.bot.pace import Pace
from cron_tasks.http.adapter import LimitedAdapter
from cron_tasks.store import keys
from cron_tasks.text.masking import Mask

log = structlog.get_logger("cron_tasks.bot")

#: Seconds for connecting, and for a whole answer.
TIMEOUT = 10.0
#: Seconds for which a supergroup is remembered after its group was turned into it.
MOVED_FOR = 30 * 86_400
#: The most moves of a chat that are followed for one message.
MOST_MOVES = 5
#: The most bytes of an answer that are read.
MOST_READ = 1 << 20
#: The most seconds to wait when Telegram asks for it.
LONGEST_WAIT = 86_400
#: The longest text, in UTF-16 units, which Telegram counts everywhere.
LONGEST = 4096


def telegram_pace() -> Pace:
    """Return the pace that Telegram allows one bot."""
    return Pace(overall=30, each=1)


class Telegram:
    """Send `response` to `chat_id`, or to the supergroup that this group has become.

    The URL contains the token, so no error shows it. With `redis`, the supergroup is remembered for
    MOVED_FOR seconds after the last message.
    """

    def __init__(self, token: str, url: str, redis: Redis | None = None) -> None:
        self._url = f"{url}/bot{quote(token, safe=':')}/sendMessage"
        self._redis = redis
        self._mask = Mask()
        self._mask.hide(token)
        self._session = requests.Session()
        adapter = LimitedAdapter(lambda: time.monotonic() + TIMEOUT)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def __call__(self, message: Mapping[str, Any]) -> None:
        chat, text = message.get("chat_id"), message.get("response")
        if isinstance(chat, bool) or not isinstance(chat, int | str) or chat == "":
            raise Permanent("it has no chat_id")
        if not isinstance(text, str):
            raise Permanent("it has no text in `response`")
        chat = self._current_chat(chat)
        status, body = self._post_message(chat, text)
        tried = [chat]
        while (
            (moved := _find_move(status, body)) and moved not in tried and len(tried) <= MOST_MOVES
        ):
            self._remember_move(tried[-1], moved)
            tried.append(moved)
            status, body = self._post_message(moved, text)
        self._check_answer(status, body)

    def _post_message(self, chat: int | str, text: str) -> tuple[int, Any]:
        """Post a message. Return the status and the JSON, if any. Raises TryAgain."""
        message = {"chat_id": chat, "text": cut_text(text)}
        try:
            with self._session.post(
                self._url,
                json=message,
                headers={"Accept-Encoding": "identity"},
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as answer:
                body = answer.raw.read(MOST_READ)
        except (requests.RequestException, HTTPError, ValueError) as error:
            raise TryAgain(f"Telegram: {type(error).__name__}", everyone=True) from None
        try:
            return answer.status_code, orjson.loads(body)
        except ValueError:
            return answer.status_code, None

    def _check_answer(self, status: int, body: Any) -> None:
        """Raise Permanent or TryAgain unless the message was sent.

        Only an answer from Telegram itself, which has `ok`, can be permanent.
        """
        text = str(body.get("description", "")) if isinstance(body, dict) else ""
        reason = f"Telegram: {status} {'' if self._mask.occurs_in(text) else text}".rstrip()
        match status, body:
            case 200, {"ok": True}:
                return
            case 400 | 403 | 413, {"ok": False}:
                raise Permanent(reason)
            case 429, {"parameters": {"retry_after": (int() | float()) as seconds}}:
                raise TryAgain(reason, after=min(max(seconds, 1), LONGEST_WAIT))
        # 401 and 404 concern the token. All others concern Telegram or a proxy in front of it.
        raise TryAgain(reason, everyone=True)

    def _current_chat(self, chat: int | str) -> int | str:
        """Return the chat to post to. If Redis is unavailable, Telegram reports a move again."""
        with suppress(RedisError):
            if self._redis and (known := self._redis.getex(_moved_key(chat), ex=MOVED_FOR)):
                return int(known)
        return chat

    def _remember_move(self, chat: int | str, moved: int) -> None:
        log.info("bot.chat_moved", chat=chat, to=moved)
        with suppress(RedisError):
            if self._redis:
                self._redis.set(_moved_key(chat), moved, ex=MOVED_FOR)


def _find_move(status: int, body: Any) -> int | None:
    """Return the supergroup that a group has become, if Telegram reports one.

    https://core.telegram.org/bots/api#responseparameters
    """
    match status, body:
        case 400 | 403, {"ok": False, "parameters": {"migrate_to_chat_id": int(chat)}}:
            return None if isinstance(chat, bool) else chat
    return None


def _moved_key(chat: int | str) -> str:
    return f"{keys.BOT_MOVED_PREFIX}{chat}"


def cut_text(text: str) -> str:
    """Return `text`, cut with an ellipsis if it is too long. Lone surrogates become `?`."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * LONGEST:
        return units.decode("utf-16-le")
    return units[: 2 * (LONGEST - 1)].decode("utf-16-le", "ignore") + "…"
