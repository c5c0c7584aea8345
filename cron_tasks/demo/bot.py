"""A bot that reads the queue of notifications as any bot does, and prints them."""

import json
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from threading import Event

import click
import structlog
from redis import Redis
from redis.exceptions import RedisError

from cron_tasks import logs
from cron_tasks.redis_client import connect
from cron_tasks.settings import load
from cron_tasks.text import printable

log = structlog.get_logger("cron_tasks.demo.bot")


def messages(redis: Redis, queue: str, ending: Event) -> Iterator[str]:
    """The messages of a queue, the oldest first, until it is empty at the end."""
    while True:
        try:
            if taken := redis.blpop([queue], timeout=0.2):
                yield str(taken[1])
            elif ending.is_set():
                return
        except RedisError as error:
            log.warning("redis.away", error=str(error))
            if ending.wait(2):
                return


def line(message: str, now: float) -> str:
    """When it was taken, how it went, for whom, what, and how long after its time."""
    try:
        body = json.loads(message)
        good = body["status"] == "success"
        chat, text = printable(str(body["chat_id"]), 20), printable(str(body["response"]), 300)
        late = now - datetime.fromisoformat(body["scheduled_for"]).timestamp()
    except (ValueError, LookupError, TypeError):
        return click.style(f"  not understood: {printable(message)}", fg="yellow")
    mark = click.style("✓", fg="green") if good else click.style("✗", fg="red")
    when = f"{datetime.fromtimestamp(now):%H:%M:%S}"
    return f"  {when} {mark} {click.style(chat, fg='cyan')}  {text}  ({late:.2f} s)"


@click.command()
@click.option("--color", is_flag=True, help="Even when this is no terminal.")
def main(color: bool) -> None:
    """Print each notification."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
    ending = Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with connect(settings.redis_url.get_secret_value()) as redis:
        log.info("bot.waiting", queue=settings.notify_queue)
        for message in messages(redis, settings.notify_queue, ending):
            click.echo(line(message, time.time()), color=color or None)


if __name__ == "__main__":
    main()
