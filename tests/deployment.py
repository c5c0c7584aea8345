"""Check that the files for containers and Kubernetes are true: commands, settings, ports."""

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from celery.bin.base import CLIContext
from celery.bin.celery import celery as celery_command
from opentelemetry.sdk import environment_variables

from cron_tasks.celery import app
from cron_tasks.cli import main as our_command
from cron_tasks.settings import PREFIX, Settings, variable_name

#: The port of metrics of beats and workers in containers, and the port of Flower.
METRICS_PORT = 9100
FLOWER_PORT = 5555
SETTINGS = {variable_name(name) for name in Settings.model_fields}
#: Variables of containers that are not settings of ours.
OTHER_VARIABLES = {"FLOWER_BASIC_AUTH", "FLOWER_MAX_TASKS"}
OTHER_VARIABLES |= {name for name in dir(environment_variables) if name.startswith("OTEL_")}


def parse_command(arguments: Sequence[str]) -> click.Context:
    """Parse a command like its program. Raises click.ClickException if it is wrong."""
    program, *rest = arguments
    if program == "python":
        assert rest[0] == "-m"
        return importlib.import_module(rest[1]).main.make_context(rest[1], rest[2:])  # type: ignore[no-any-return]
    group = {"celery": celery_command, "cron-tasks": our_command}[program]
    context = group.make_context(program, rest)
    context.obj = CLIContext(app=app, no_color=True, workdir=None)
    name, command, rest = group.resolve_command(
        context, [*getattr(context, "_protected_args", []), *context.args]
    )
    assert command is not None
    with context:
        return command.make_context(name, rest, parent=context)


def assert_variables_exist(environment: Mapping[str, Any]) -> None:
    unknown = environment.keys() - SETTINGS - OTHER_VARIABLES
    assert not unknown
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name in SETTINGS and value not in (None, "")
    }
    Settings(**given)


def fill_in(text: str) -> str:
    """Replace `${NAME:-default}`, as Compose does where no variable is set."""
    filled = re.sub(r"\$\{\w+:?\?[^}]*\}", "given:secret", text)
    return re.sub(r"\$\{\w+(?::?-([^}]*))?\}", lambda found: found[1] or "", filled)


def one(found: Iterable[Any]) -> Any:
    [only] = found
    return only
