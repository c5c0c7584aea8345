"""Where the values come from: the environment, then `.env`, then secret files, then the defaults.

pydantic-settings reads them; we ask its sources one by one, because a person whose setting does
not count needs to know which value did, and a misspelt variable must not pass in silence.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import (
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

from cron_tasks.errors import SettingsError
from cron_tasks.settings import urls
from cron_tasks.settings.fields import PREFIX, SECRETS_DIR, Settings, expected, variable
from cron_tasks.text.display import printable, short_repr
from cron_tasks.text.suggestions import find_nearest

Given = Mapping[str, tuple[str, str]]


def _given() -> tuple[Given, list[str]]:
    """Value and origin of each field that is given, and a sentence for each stranger."""
    found: dict[str, tuple[str, str]] = {}
    strangers: list[str] = []

    def ask(source: PydanticBaseSettingsSource, origin: str, names: Iterable[str]) -> None:
        for name, value in source().items():
            if value and name in Settings.model_fields:
                found.setdefault(name, (value, origin))
        for name in sorted({name.upper() for name in names}):
            rest = name.removeprefix(PREFIX).lower()
            if name.startswith(PREFIX) and rest not in Settings.model_fields:
                near = find_nearest(rest, sorted(Settings.model_fields))
                hint = f"; did you mean {variable(near)}?" if near else ""
                text = f"{printable(name)} ({origin}) is no setting and is ignored{hint}"
                strangers.append(text)

    dotenv = DotEnvSettingsSource(Settings)
    ask(EnvSettingsSource(Settings), "environment", os.environ)
    ask(dotenv, ".env", dotenv.env_vars)
    folder = Path(found.get("secrets_dir", (SECRETS_DIR,))[0])
    if folder.is_dir():
        source = SecretsSettingsSource(Settings, secrets_dir=folder)
        ask(source, f"secret file in {folder}", os.listdir(folder))
    return found, strangers


@cache
def load() -> Settings:
    """The settings of this process; an empty value counts as none.

    Raises SettingsError with a line for each wrong variable.
    """
    try:
        given, strangers = _given()
    except (OSError, UnicodeDecodeError, SourceError) as error:
        cause = error.__cause__ or error
        text = "a file of settings (.env, or a secret file) is not UTF-8 text"
        if isinstance(cause, OSError):
            text = f"{short_repr(str(cause.filename), 200)} cannot be read: {cause.strerror}"
        raise SettingsError(text) from None
    try:
        settings = Settings(**{name: value for name, (value, _) in given.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(error, given))) from None
    settings._origins = {name: origin for name, (_, origin) in given.items()}
    settings._warnings = tuple(strangers)
    return settings


def _complaints(error: ValidationError, given: Given) -> Iterator[str]:
    """A line for each wrong variable: what was expected, what was got, what is wrong with it."""
    details = {detail["loc"][0]: detail for detail in error.errors(include_url=False)}
    for name in filter(details.__contains__, Settings.model_fields):
        value, origin = given[name]
        got = (
            "***" if name.endswith(("_token", "_headers")) else short_repr(urls.masked(value), 100)
        )
        context = details[name].get("ctx", {})
        why = f": {context['error']}" if "error" in context else ""
        yield f"{variable(name)} ({origin}): expected {expected(name)}, got {got}{why}"
