"""Print the notifications, as a bot that reads them from their queue."""

import shutil
import signal
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from cron_tasks.bot import Bot, reader
from cron_tasks.settings import load
from cron_tasks.telemetry import logs
from cron_tasks.text.display import fit, printable, short_repr


def format_notification(body: Mapping[str, Any], now: float, width: int = 400) -> str:
    """Return one line of at most `width` columns: when the notification was read, ✓ or ✗, the chat,
    the text, and how many seconds after the fire time. `now` is in seconds since the epoch."""
    try:
        is_success = body["status"] == "success"
        chat, text = printable(str(body["chat_id"]), 20), printable(str(body["response"]), 300)
        late = now - datetime.fromisoformat(body["scheduled_for"]).timestamp()
    except (ValueError, LookupError, TypeError):
        return click.style(f"  unreadable notification: {short_repr(body, 200)}", fg="yellow")
    mark = click.style("✓", fg="green") if is_success else click.style("✗", fg="red")
    when, after = f"{datetime.fromtimestamp(now):%H:%M:%S}", f"({late:.2f} s)"
    text = fit(text, max(20, width - len(f"  {when} ✓ {chat}    {after}")))
    return f"  {when} {mark} {click.style(chat, fg='cyan')}  {text}  {after}"


@click.command()
@click.option("--color", is_flag=True, help="Also print colours if this is not a terminal.")
def main(color: bool) -> None:
    """Print each notification."""
    settings = load()
    logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())

    def show(message: Mapping[str, Any]) -> None:
        width = shutil.get_terminal_size((400, 24)).columns
        click.echo(format_notification(message, time.time(), width), color=color or None)

    bot = Bot(reader(settings), show)
    signal.signal(signal.SIGTERM, lambda *_: bot.stop(when_empty=True))
    bot.run()


if __name__ == "__main__":
    main()
