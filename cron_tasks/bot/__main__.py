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


def show(message: dict[str, Any]) -> None:
    """One line: how it went, for whom, what."""
    status, chat, text = (message.get(key) for key in ("status", "chat_id", "response"))
    click.echo(printable(f"{status} {chat}: {text}", 500))


def _queue(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    try:
        return value and TypeAdapter(Queue).validate_python(value)
    except ValidationError as error:
        raise click.BadParameter(error.errors()[0]["msg"]) from None


def _bot(settings: Settings, queue: str | None, name: str | None, telegram: bool) -> Bot:
    source = reader(settings, queue, name)
    if not telegram:
        return Bot(source, show)
    from cron_tasks.bot.telegram import Telegram, pace

    token = settings.require("telegram_token").get_secret_value()
    return Bot(source, Telegram(token, settings.telegram_url, source.redis), pace())


@click.command()
@click.option("--queue", callback=_queue, help="By default CRON_TASKS_NOTIFY_QUEUE.")
@click.option("--name", help="Nobody else's on this queue; by default host and process id.")
@click.option("--telegram", is_flag=True, help="Post to Telegram, with CRON_TASKS_TELEGRAM_TOKEN.")
def main(queue: str | None, name: str | None, telegram: bool) -> None:
    """Print each notification on a line, or post it to its chat, until Ctrl-C."""
    try:
        settings = load()
        logs.configure(settings.log_format, settings.log_level, secrets=settings.secrets())
        serve(_bot(settings, queue, name, telegram))
    except CronTasksError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main(prog_name="python -m cron_tasks.bot")
