"""Read the settings from the environment, then `.env`, then secret files, then the defaults.

pydantic-settings reads each source. They are read one by one, because a person whose value is
overridden needs to know which value applies, and because a misspelt variable has to be reported.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from cron_tasks.errors import SettingsError
from cron_tasks.settings.display import PREFIX, variable_name
from cron_tasks.settings.fields import SECRETS_DIR, Settings, describe_valid_values
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.suggestions import find_nearest
from cron_tasks.text.urls import mask_passwords

#: Value and origin, by field.
Given = Mapping[str, tuple[str, str]]


def _read_sources() -> tuple[Given, list[str]]:
    """Return value and origin of each given field, and a warning for each unknown variable."""
    found: dict[str, tuple[str, str]] = {}
    warnings: list[str] = []

    def read_source(source: PydanticBaseSettingsSource, origin: str, names: Iterable[str]) -> None:
        for name, value in source().items():
            if value and name in Settings.model_fields:
                found.setdefault(name, (value, origin))
        for name in sorted({name.upper() for name in names}):
            rest = name.removeprefix(PREFIX).lower()
            if name.startswith(PREFIX) and rest not in Settings.model_fields:
                near = find_nearest(rest, sorted(Settings.model_fields))
                hint = f"; did you mean {variable_name(near)}?" if near else ""
                text = f"{printable(name)} ({origin}) is not a setting and is ignored{hint}"
                warnings.append(text)

    dotenv = DotEnvSettingsSource(Settings)
    read_source(EnvSettingsSource(Settings), "environment", os.environ)
    read_source(dotenv, ".env", dotenv.env_vars)
    folder = Path(found.get("secrets_dir", (SECRETS_DIR,))[0])
    if folder.is_dir():
        source = SecretsSettingsSource(Settings, secrets_dir=folder)
        read_source(source, f"secret file in {folder}", os.listdir(folder))
    return found, warnings


@cache
def load() -> Settings:
    """Return the settings of this process. An empty value counts as none.

    Raises SettingsError, with one line for each wrong variable.
    """
    try:
        given, warnings = _read_sources()
    except (OSError, UnicodeDecodeError, SourceError) as error:
        cause = error.__cause__ or error
        text = "a file of settings (.env or a secret file) is not UTF-8 text"
        if isinstance(cause, OSError):
            text = f"{short_repr(str(cause.filename), 200)} cannot be read: {cause.strerror}"
        raise SettingsError(text) from None
    try:
        given, ignored = _leave_out_reports(given)
        values: dict[str, Any] = {name: value for name, (value, _) in given.items()}
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain_errors(error, given))) from None
    settings._origins = {name: origin for name, (_, origin) in given.items()}
    settings._warnings = (*warnings, *ignored)
    return settings


def _leave_out_reports(given: Given) -> tuple[Given, list[str]]:
    """Return the values without REST_REPORT_PATH if jobs are read from a file, and a warning."""
    url, _ = given.get("rest_url", ("", ""))
    if "rest_report_path" not in given or not url.startswith("file:"):
        return given, []
    _, origin = given["rest_report_path"]
    rest = {name: each for name, each in given.items() if name != "rest_report_path"}
    name = variable_name("rest_report_path")
    return rest, [f"{name} ({origin}) has no effect: a file takes no reports"]


def _explain_errors(error: ValidationError, given: Given) -> Iterator[str]:
    """Yield one line for each wrong variable: what was expected, what was given, and why not."""
    details = {detail["loc"][0]: detail for detail in error.errors(include_url=False)}
    for name in filter(details.__contains__, Settings.model_fields):
        # A default may be wrong beside another setting.
        value, origin = given.get(name) or (str(Settings.model_fields[name].default), "default")
        secret = name.endswith(("_token", "_headers", "heartbeat_url"))
        got = "***" if secret else short_repr(mask_passwords(value), 100)
        context = details[name].get("ctx", {})
        why = f": {context['error']}" if "error" in context else ""
        expected = describe_valid_values(name)
        yield f"{variable_name(name)} ({origin}): expected {expected}, got {got}{why}"
