"""Log every line in one format: ours, Celery's, kombu's, RedBeat's, Flower's, Python's warnings.

    log = structlog.get_logger("cron_tasks.sync")
    with bind(job_id="7", run_id="7@2026-11-23T09:00:00Z"):
        log.info("run.finished", status="ok")

An event is a stable dotted name without values (events.py). The values are key-values beside it.
A line with a `run_id` also has the `trace_id` of that run, except on the console. Names, URLs
and error texts come from outside. No value can break a line, forge one, control a terminal, or
bring one of our secrets into a log.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from itertools import islice
from logging.handlers import WatchedFileHandler
from math import isfinite
from typing import Any, Literal

import structlog
from structlog.stdlib import ProcessorFormatter

from cron_tasks.errors import read_text
from cron_tasks.settings import load
from cron_tasks.telemetry.ecs import to_document
from cron_tasks.text.display import printable
from cron_tasks.text.masking import spell_secret
from cron_tasks.text.trace_ids import trace_id_of

Event = MutableMapping[str, Any]
Clean = Callable[[str], str]

_FIRST = ("timestamp", "level", "event", "logger")
#: Their lines have whole URLs, including those of redirects. Our own lines report failures.
_LOGS_URLS = ("urllib3.connectionpool", "urllib3.poolmanager", "urllib3.util.retry")
#: The fields in which a line keeps type and message of its exception.
_FAULT = "_fault"
#: Shorter texts are not masked, because that would hide ordinary words and numbers.
_LEAST_SECRET = 4
#: The most characters of a text, and the most values of a collection, in a line. Shippers cut long
#: lines.
LONGEST, MOST = 16_000, 1_000
_URL_PASSWORD = re.compile(r"(://[^\s:@/]*):[^\s@/]+@")

_CHAIN: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def bind(**ids: str) -> AbstractContextManager[None]:
    """Add key-values to every line of this context, also to those of libraries."""
    return structlog.contextvars.bound_contextvars(**ids)


def configure(
    format: Literal["json", "console", "ecs"],
    level: str | int,
    *,
    secrets: Iterable[str] = (),
    logfile: str | None = None,
    colors: bool | None = None,
) -> None:
    """Send every line of this process, and of those it forks, to stderr or to `logfile`.

    `secrets` are masked in every line. `colors` (console only) are by default used on a terminal.
    May be called again, and then the last call counts.
    """
    # Celery replaces sys.stderr by a proxy that logs.
    handler = (
        WatchedFileHandler(logfile, encoding="utf-8")
        if logfile
        else logging.StreamHandler(sys.__stderr__)
    )
    if colors is None:
        colors = handler.stream.isatty() and not os.environ.get("NO_COLOR")
    handler.setFormatter(_make_formatter(format, colors, _make_mask(secrets)))
    level = level if isinstance(level, int) else logging.getLevelNamesMapping()[level]
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    for name in _LOGS_URLS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[*_CHAIN, ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def install_for_celery() -> None:
    """Make Celery's programs use this format, with their `--loglevel` and `--logfile`.

    Other programs that import the app keep their own logging.
    """
    from celery import signals

    for signal, receiver in (
        # A worker warns about its user (root) before it sets up logging.
        (signals.celeryd_init, lambda **_: _configure_program()),
        (signals.setup_logging, _configure_celery),
        (signals.import_modules, _configure_flower),
    ):
        signal.connect(receiver, weak=False, dispatch_uid="cron_tasks.logs")


def _configure_celery(
    loglevel: int | None = None, logfile: str | None = None, colorize: bool | None = None, **_: Any
) -> None:
    from billiard import util
    from celery import current_app

    _configure_program(loglevel, logfile, colorize)
    # billiard's logger does not propagate its lines, and would print them without a format. Lines
    # below the level of an error are noise.
    multiprocessing = util.get_logger()
    multiprocessing.propagate = True
    multiprocessing.setLevel(logging.ERROR)
    # For each revoked task, every worker without a result backend logs this error.
    control = logging.getLogger("celery.worker.control")
    control.addFilter(lambda line: not str(line.msg).startswith("Failed to mark task"))
    # Each time the connection is lost, Celery recommends another value for a setting that we chose.
    python = logging.getLogger("py.warnings")
    python.addFilter(lambda line: "In Celery 5.1 we introduced" not in line.getMessage())
    # Our tasks log their outcome themselves. "received" and "succeeded" around it take a sixth of a
    # worker's time when there are many runs.
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).addFilter(_is_not_about_our_tasks)
    # Celery leaves this to the program that replaces its set-up of logging.
    if current_app.conf.worker_redirect_stdouts:
        current_app.log.redirect_stdouts(current_app.conf.worker_redirect_stdouts_level)


def _is_not_about_our_tasks(line: logging.LogRecord) -> bool:
    from celery.app.trace import LOG_RECEIVED, LOG_SUCCESS

    if line.msg not in (LOG_RECEIVED, LOG_SUCCESS):
        return True
    about: Any = getattr(line, "data", {})
    return not about["name"].startswith("cron_tasks.")


def _configure_flower(**_: Any) -> None:
    """Set up logging for Flower, which sends no signal for that.

    Flower imports the tasks after tornado has set up its own logging.
    """
    import click

    context = click.get_current_context(silent=True)
    if context and context.info_name == "flower":
        _configure_program()


def _configure_program(
    loglevel: int | None = None, logfile: str | None = None, colors: bool | None = None
) -> None:
    import click
    from click.core import ParameterSource

    settings, context = load(), click.get_current_context(silent=True)
    # Celery's commands pass WARNING if no level is given.
    if context and context.get_parameter_source("loglevel") is ParameterSource.DEFAULT:
        loglevel = None
    to_terminal = logfile is None or settings.origins["log_format"] != "default"
    configure(
        settings.log_format if to_terminal else "json",
        loglevel or settings.log_level,
        secrets=settings.secrets(),
        logfile=logfile,
        colors=colors,
    )


class _Formatter(ProcessorFormatter):
    def format(self, record: logging.LogRecord) -> str:
        try:
            return super().format(record)
        except Exception as error:
            # A wrong call, such as too few arguments, must not break the stream.
            text = f"a line cannot be formatted: {type(error).__name__}: {error}"
            return super().format(
                logging.LogRecord(record.name, record.levelno, "", 0, text, None, None)
            )


def _make_formatter(format: str, colors: bool, mask: Clean) -> logging.Formatter:
    is_json, clean = format != "console", mask
    if is_json:
        clean = lambda text: _encodable(mask(text))  # noqa: E731
        # ASCII only, so that every character with a meaning to a terminal or a line reader is
        # escaped.
        render: structlog.typing.Processor = structlog.processors.JSONRenderer()
    else:
        clean = lambda text: printable(mask(text), sys.maxsize)  # noqa: E731
        render = structlog.dev.ConsoleRenderer(
            colors=colors, exception_formatter=structlog.dev.plain_traceback, sort_keys=False
        )

    def clean_event(_: Any, __: str, event: Event) -> Event:
        fault = event.pop(_FAULT, {})
        traceback = str(event.pop("exception", ""))
        first = {name: event.pop(name, "") for name in _FIRST}
        if is_json and event.get("run_id"):
            event["trace_id"] = trace_id_of(str(event["run_id"]))
        out: Event = _clean_value(first | dict(event), clean)
        if traceback and is_json:
            out["exception"] = clean(traceback)
        elif traceback:
            lines = _shorten(traceback).splitlines()
            out["exception"] = "\n".join("  " + clean(line) for line in lines)
        return to_document(out, _clean_value(fault, clean)) if format == "ecs" else out

    return _Formatter(
        foreign_pre_chain=_CHAIN,
        processors=[
            ProcessorFormatter.remove_processors_meta,
            *([_describe_fault] if format == "ecs" else []),
            structlog.processors.format_exc_info,
            clean_event,
            render,
        ],
    )


def _describe_fault(_: Any, __: str, event: Event) -> Event:
    """Keep type and message of the exception of a line, before it becomes a traceback."""
    exc_info = event.get("exc_info")
    if exc_info is True:
        exc_info = sys.exc_info()
    error = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if isinstance(error, BaseException):
        event[_FAULT] = {"type": type(error).__qualname__, "message": read_text(error)}
    return event


def _make_mask(secrets: Iterable[str]) -> Clean:
    """Make a function that masks secrets in usual spellings, and passwords in URLs."""
    known = {secret for secret in secrets if len(secret) >= _LEAST_SECRET}
    known |= {spelling for secret in known for spelling in spell_secret(secret)}
    longest_first = sorted(known, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))

    def clean(text: str) -> str:
        if known:
            text = pattern.sub("***", text)
        return _shorten(_URL_PASSWORD.sub(r"\1:***@", text) if "://" in text else text)

    return clean


def _shorten(text: str) -> str:
    """Return a text of at most LONGEST characters. The end of a traceback has the error."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 + 3 :]}"


def _encodable(text: str) -> str:
    """Return a text with halves of surrogate pairs escaped, which many readers of JSON refuse."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _to_text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"a {type(value).__name__} whose text cannot be shown: {type(error).__name__}"


def _clean_value(value: Any, clean: Clean, depth: int = 6) -> Any:
    """Return `value` as JSON can represent it, with every text in it cleaned."""
    match value:
        case None | bool() | int():
            return value
        case float() if isfinite(value):
            return value
        case Mapping() if depth:
            return {
                clean(_to_text(k)): _clean_value(each, clean, depth - 1)
                for k, each in islice(value.items(), MOST)
            }
        case list() | tuple() | set() | frozenset() if depth:
            return [_clean_value(each, clean, depth - 1) for each in islice(value, MOST)]
    return clean(_to_text(value))
