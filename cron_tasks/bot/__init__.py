"""Read a notification queue without losses: read each message, handle it, and remember it.

    serve(Bot(reader(load(), name="mailer"), send_mail))

`python -m cron_tasks.bot` is such a bot. See docs/bot.md.
"""

import os
import signal
import socket

from cron_tasks.bot.loop import Bot, Handler, Permanent, TryAgain
from cron_tasks.bot.pace import Pace
from cron_tasks.bot.reader import Delivery, ListReader, Reader, StreamReader
from cron_tasks.settings import Settings
from cron_tasks.store.client import connect
from cron_tasks.tracing.tracer import find_tracer

__all__ = ["Bot", "Delivery", "Handler", "ListReader", "Pace", "Permanent", "Reader"]
__all__ += ["StreamReader", "TryAgain", "reader", "serve"]


def reader(settings: Settings, queue: str | None = None, name: str | None = None) -> Reader:
    """Make a reader of `queue`, by default that of the settings.

    No other reader of the queue may have its `name`, by default host and process id.
    """
    kind = StreamReader if settings.notify_transport == "stream" else ListReader
    redis = connect(settings.redis_url.get_secret_value(), retries=0)
    made = kind(
        redis, queue or settings.notify_queue, name or f"{socket.gethostname()}-{os.getpid()}"
    )
    made.remember = settings.bot_remember
    made.tracer = find_tracer(settings)
    return made


def serve(bot: Bot) -> None:
    """Run until SIGTERM or Ctrl-C. The bot finishes the current message first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: bot.stop())
    bot.run()
