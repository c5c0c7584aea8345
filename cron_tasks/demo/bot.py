"""A bot that reads the queue of notifications as any bot may, and prints them."""

import signal
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from cron_tasks.bot import Bot, reader
from cron_tasks.settings import load
from cron_tasks.telemetry import logs
from cron_tasks.text.display import printable, short_repr


def line(body: Mapping[str, Any], now: float) -> str:
    """When it was taken, how it went, for whom, what, and how long after its time."""
    try:
        good = body["status"] == "success"
        chat, text = printable(str(body["chat_id"]), 20), printable(str(body["response"]), 300)
        late = now - datetime.fromisoformat(body["scheduled_for"]).timestamp()
    except (ValueError, LookupError, TypeError):
        return click.style(f"  not understood: {short_repr(body, 200)}", fg="yellow")
    mark = click.style("✓", fg="green") if good else click.style("✗", fg="red")
    when = f"{datetime.fromtimestamp(now):%H:%M:%S}"
    return f"  {when} {mark} {click.style(chat, fg='cyan')}  {text}  ({late:.2f} s)"


@click.command()
@click.option("--color", is_flag=True, help="Even when this is no terminal.")
def main(color: bool) -> None:
    """Print each notification."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())

    def show(message: Mapping[str, Any]) -> None:
        click.echo(line(message, time.time()), color=color or None)

    bot = Bot(reader(settings), show)
    signal.signal(signal.SIGTERM, lambda *_: bot.stop(when_empty=True))
    bot.run()


if __name__ == "__main__":
    main()
