"""`python -m cron_tasks.bot`: prints each notification, or posts it to Telegram."""

from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from cron_tasks.bot import Bot, reader, serve
from cron_tasks.errors import CronTasksError
from cron_tasks.settings import Settings, load
from cron_tasks.settings.values import Queue
from cron_tasks.telemetry import logs
from cron_tasks.text.display import printable


def print_message(message: dict[str, Any]) -> None:
    """Print a message on one line: its status, its chat, its text."""
    status, chat, text = (message.get(key) for key in ("status", "chat_id", "response"))
    click.echo(printable(f"{status} {chat}: {text}", 500))


def _check_queue(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return value and TypeAdapter(Queue).validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"]) from None


def _make_bot(settings: Settings, queue: str | None, name: str | None, telegram: bool) -> Bot:
    source = reader(settings, queue, name)
    if not telegram:
        return Bot(source, print_message)
    from cron_tasks.bot.telegram import Telegram, telegram_pace

    token = settings.require("telegram_token").get_secret_value()
    return Bot(source, Telegram(token, settings.telegram_url, source.redis), telegram_pace())


@click.command()
@click.option("--queue", callback=_check_queue, help="Default: CRON_TASKS_NOTIFY_QUEUE.")
@click.option("--name", help="Unique among the bots of the queue. Default: host and process ID.")
@click.option("--telegram", is_flag=True, help="Post to Telegram, with CRON_TASKS_TELEGRAM_TOKEN.")
def main(queue: str | None, name: str | None, telegram: bool) -> None:
    """Print each notification on a line, or post it to its chat, until Ctrl-C."""
    try:
        settings = load()
        logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
        serve(_make_bot(settings, queue, name, telegram))
    except CronTasksError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m cron_tasks.bot")
