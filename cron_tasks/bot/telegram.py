"""A handler that posts each message to its chat by Telegram's Bot API.

https://core.telegram.org/bots/api#sendmessage, and for the limits
https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
"""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from cron_tasks.adapter import LimitedAdapter
from cron_tasks.bot.loop import Permanent, TryAgain
from cron_tasks.bot.pace import Pace

#: Seconds for connecting, and for a whole answer.
TIMEOUT = 10.0
#: Longest text, in UTF-16 units, as Telegram counts everywhere.
LONGEST = 4096


def pace() -> Pace:
    """What Telegram allows one bot."""
    return Pace(overall=30, each=1)


class Telegram:
    """Sends `response` to `chat_id`. The token is in the URL, so no error tells of that."""

    def __init__(self, token: str, url: str) -> None:
        self._url = f"{url}/bot{quote(token, safe=':')}/sendMessage"
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
        try:
            answer = self._session.post(
                self._url,
                json={"chat_id": chat, "text": fitting(text)},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            raise TryAgain(f"Telegram: {type(error).__name__}", everyone=True) from None
        _judge(answer)


def _judge(answer: requests.Response) -> None:
    """Raises Permanent or TryAgain unless the message was sent.

    Only what Telegram itself says of a message (its answers have `ok`) can be permanent.
    """
    try:
        body = answer.json()
    except ValueError:
        body = None
    said = str(body.get("description", "")) if isinstance(body, dict) else ""
    reason = f"Telegram: {answer.status_code} {said}".rstrip()
    match answer.status_code, body:
        case 200, {"ok": True}:
            return
        case 400 | 403 | 413, {"ok": False}:
            raise Permanent(reason)
        case 429, {"parameters": {"retry_after": int(seconds)}}:
            raise TryAgain(reason, after=seconds)
    # 401 and 404 speak of the token, all others of Telegram or of what is before it.
    raise TryAgain(reason, everyone=True)


def fitting(text: str) -> str:
    """`text`, cut with an ellipsis when it is too long; halves of characters become `?`."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * LONGEST:
        return units.decode("utf-16-le")
    return units[: 2 * (LONGEST - 1)].decode("utf-16-le", "ignore") + "…"
