"""Where the values come from: the environment, then `.env`, then secret files, then the defaults.

pydantic-settings reads them; we ask its sources one by one, because a person whose setting does
not count needs to know which value did, and a misspelt variable must not pass in silence.
"""

import os
import warnings
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
from cron_tasks.settings.fields import PREFIX, SECRETS_DIR, Settings, said, variable
from cron_tasks.text import did_you_mean, printable, shown

#: Value and origin by name of the field.
Found = dict[str, tuple[str, str]]


@cache
def load() -> Settings:
    """The settings of this process; an empty value counts as none.

    Raises SettingsError with a line for each wrong variable.
    """
    try:
        found, strangers = _given()
    except (OSError, UnicodeDecodeError, SourceError) as error:
        raise SettingsError(_unreadable(error.__cause__ or error)) from None
    try:
        settings = Settings(**{name: value for name, (value, _) in found.items()})  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(_complaints(error, found))) from None
    return settings.read_from({name: origin for name, (_, origin) in found.items()}, strangers)


def _given() -> tuple[Found, list[str]]:
    """What is given for each field; a sentence for each thing given that nobody asked for."""
    environment, dotenv = EnvSettingsSource(Settings), DotEnvSettingsSource(Settings)
    found = {name: (value, ".env") for name, value in _known(dotenv)}
    found |= {name: (value, "environment") for name, value in _known(environment)}
    strangers = [*_strangers(os.environ, "environment"), *_strangers(dotenv.env_vars, ".env")]
    folder = Path(found["secrets_dir"][0]) if "secrets_dir" in found else SECRETS_DIR
    if folder.is_dir():
        secrets, complaints = _secrets(folder)
        strangers += complaints
        found = secrets | found
    return found, strangers


def _secrets(folder: Path) -> tuple[Found, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        known = list(_known(SecretsSettingsSource(Settings, secrets_dir=folder)))
    files = {path.name.upper(): path for path in folder.iterdir()}
    found = {name: (value, f"secret file {files[variable(name)]}") for name, value in known}
    complaints = [str(warning.message) for warning in caught]
    return found, [*complaints, *_strangers(files, str(folder))]


def _known(source: PydanticBaseSettingsSource) -> Iterator[tuple[str, str]]:
    for name, value in source().items():
        if value and name in Settings.model_fields:
            yield name, value


def _strangers(names: Iterable[str], origin: str) -> Iterator[str]:
    known = set(Settings.model_fields)
    for name in sorted({name.upper() for name in names}):
        rest = name.removeprefix(PREFIX).lower()
        if name.startswith(PREFIX) and rest not in known:
            near = did_you_mean(rest, sorted(known))
            hint = f"; did you mean {variable(near)}?" if near else ""
            yield f"{printable(name)} ({origin}) is no setting and is ignored{hint}"


def _unreadable(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"{shown(str(error.filename), 200)} cannot be read: {error.strerror}"
    return "a file of settings (.env, or a secret file) is not UTF-8 text"


def _complaints(error: ValidationError, found: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """A line for each wrong variable: what was expected, what was got, what is wrong with it."""
    details = {detail["loc"][0]: detail for detail in error.errors(include_url=False)}
    for name in Settings.model_fields:
        if name not in details:
            continue
        value, origin = found[name]
        got = "***" if name == "rest_token" else shown(urls.masked(value), 100)
        context = details[name].get("ctx", {})
        why = f": {context['error']}" if "error" in context else ""
        yield f"{variable(name)} ({origin}): expected {said(name, 'expected')}, got {got}{why}"
