"""`cron-tasks doctor`."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TypeAlias

import click
from redis.exceptions import RedisError, ResponseError

from cron_tasks.cli.checks import Finding, System, fail, ok, server, service, warn, work
from cron_tasks.cli.output import json_option, print_json
from cron_tasks.cli.services import no_log_lines
from cron_tasks.cli.trouble import redis_cause, sentence
from cron_tasks.errors import SettingsError
from cron_tasks.redis_client import connect
from cron_tasks.settings import load
from cron_tasks.text import printable

Check: TypeAlias = Callable[[System], Finding]

#: Seconds that doctor waits for an answer of Redis, once.
PATIENCE = 2.0
CHECKS: Mapping[str, Check] = {
    "redis": server.version,
    "redis eviction": server.eviction,
    "redis persistence": server.persistence,
    "redis memory": server.memory,
    "clock": server.clock,
    "rest service": service.reading,
    "last sync": service.last_sync,
    "beat": work.beat,
    "schedule": work.schedule,
    "entries": work.entries,
    "recipients": work.recipients,
    "workers": work.workers,
    "open ticks": work.ticks,
    "messages": work.messages,
}
WITHOUT_REDIS = frozenset({"rest service"})

_MARKS = {"ok": ("✓", "ok", "green"), "warn": ("!", "warn", "yellow"), "fail": ("✗", "FAIL", "red")}


@click.command()
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check settings, Redis, REST service, beat, workers and clock, and say how to mend them.

    Exits 1 when a check failed; warnings alone do not count.
    """
    findings = []
    with no_log_lines():
        for name, finding in _examine():
            findings.append({"check": name, **asdict(finding)})
            if not as_json:
                _print(name, finding)
    if as_json:
        print_json(findings)
    if any(finding["status"] == "fail" for finding in findings):
        ctx.exit(1)


def _examine() -> Iterator[tuple[str, Finding]]:
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            yield "settings", fail(line)
        return
    for warning in settings.warnings:
        yield "settings", warn(warning, "correct its name, or remove it")
    if not settings.warnings:
        yield "settings", ok("valid")
    with connect(settings.redis_url.get_secret_value(), timeout=PATIENCE, retries=0) as redis:
        system = System(settings, redis, time.time())
        for name, check in CHECKS.items():
            if system.reachable or name in WITHOUT_REDIS:
                yield name, _made(check, system)


def _made(check: Check, system: System) -> Finding:
    try:
        return check(system)
    except RedisError as error:
        if isinstance(error, ResponseError):  # it answers, but refuses this
            return fail(redis_cause(error))
        system.reachable = False
        mend = "start Redis, or let CRON_TASKS_REDIS_URL name the right one"
        return fail(f"{redis_cause(error)}; what depends on it was not checked", mend)
    except Exception as error:
        if (text := sentence(error)) is None:
            raise
        return fail(text)


def _print(name: str, finding: Finding) -> None:
    sign, word, colour = _MARKS[finding.status]
    detail, mend = printable(finding.detail, 500), finding.mend
    if sys.stdout.isatty():
        click.echo(f"{click.style(sign, fg=colour, bold=True)} {name:<17}  {detail}")
        if mend:
            click.secho(f"{'':<21}→ {mend}", dim=True)
    else:
        click.echo(f"{word:<4}  {name:<17}  {detail}" + (f"; to mend: {mend}" if mend else ""))
