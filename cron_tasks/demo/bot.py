"""A bot that reads the queue of notifications as any bot does, and prints them.

python -m cron_tasks.demo.bot
"""

import json
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks import logs
from cron_tasks.redis_client import connect
from cron_tasks.settings import load
from cron_tasks.text import printable

log = structlog.get_logger("cron_tasks.demo.bot")

#: Seconds of one wait for a message, and before the next try when Redis is away.
WAIT, AGAIN = 0.5, 1.0


class Ending:
    """Becomes true by SIGTERM or Ctrl-C; what is on the queue by then is still printed."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __bool__(self) -> bool:
        return self._asked

    def _ask(self, *_: Any) -> None:
        self._asked = True


def messages(redis: Redis, queue: str, ending: Ending) -> Iterator[str]:
    """The messages of a queue, the oldest first, until the end."""
    away = False
    while True:
        try:
            taken = redis.blpop([queue], timeout=WAIT)
        except RedisError as error:
            if not away:
                log.warning("redis.away", error=str(error))
            away, taken = True, None
            time.sleep(AGAIN)
        else:
            away = False
        if taken:
            yield str(taken[1])
        elif ending:
            return


def line(message: str, now: float) -> str:
    """`12:00:00 ✓ 100  Scheduled task: Water the plants  (0.02 s)`: when it was taken, how it went,
    for whom, what, and how long after its time."""
    try:
        body = json.loads(message)
        good = body["status"] == "success"
        chat, text = printable(str(body["chat_id"]), 20), printable(str(body["response"]), 300)
        late = now - datetime.fromisoformat(body["scheduled_for"]).timestamp()
    except (ValueError, LookupError, TypeError):
        return click.style(f"  not understood: {printable(message)}", fg="yellow")
    mark = click.style("✓", fg="green") if good else click.style("✗", fg="red")
    when = click.style(f"{datetime.fromtimestamp(now):%H:%M:%S}", dim=True)
    after = click.style(f"({late:.2f} s)", dim=True)
    return f"  {when} {mark} {click.style(chat, fg='cyan')}  {text}  {after}"


@click.command()
@click.option("--color", is_flag=True, help="Even when this is no terminal.")
def main(color: bool) -> None:
    """Print each notification."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
    ending = Ending()
    with connect(settings.redis_url.get_secret_value()) as redis:
        log.info("bot.waiting", queue=settings.notify_queue)
        for message in messages(redis, settings.notify_queue, ending):
            click.echo(line(message, time.time()), color=color or None)


if __name__ == "__main__":
    main()
