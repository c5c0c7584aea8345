"""Secrets that jobs use by name: files in CRON_TASKS_SECRETS_DIR, read anew by each run.

Their values go into the request and nowhere else: what a person may see is masked.
"""

import html
import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

from cron_tasks.errors import ActionFailed
from cron_tasks.settings import PREFIX
from cron_tasks.templates import SECRET_NAME

#: Bytes of the longest value.
LONGEST = 65_536
_NAME = re.compile(SECRET_NAME, re.IGNORECASE)


def names(folder: Path | None) -> Iterator[str]:
    """The secrets that jobs may use; those of the settings are not among them."""
    try:
        entries = list(os.scandir(folder)) if folder else []
    except OSError:
        return
    for entry in entries:
        if _usable(entry.name) and entry.is_file():
            yield entry.name


def _usable(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not name.upper().startswith(PREFIX)


class Secrets:
    """The secrets of one run: each that is read is masked from then on."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._hidden: set[str] = set()

    def read(self, name: str) -> str:
        """The value. Raises ActionFailed, permanent, when there is none."""
        try:
            if self._folder is None or not _usable(name):
                raise FileNotFoundError
            with (self._folder / name).open("rb") as file:
                value = file.read(LONGEST + 1).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = "is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
            text = f"the secret {name} in the folder CRON_TASKS_SECRETS_DIR {why}"
            raise ActionFailed(text, permanent=True) from None
        if not value or len(value) > LONGEST:
            text = f"the secret {name} is empty or longer than {LONGEST} bytes"
            raise ActionFailed(text, permanent=True)
        self.hide(value)
        return value

    def hide(self, value: str) -> None:
        """Mask the value, also in the spellings in which a service may send it back."""
        quoted = {json.dumps(value, ensure_ascii=ascii)[1:-1] for ascii in (True, False)}
        quoted |= {each.replace("/", "\\/") for each in quoted}  # as PHP writes JSON
        quoted |= {quote(value, safe=""), quote_plus(value), html.escape(value), repr(value)[1:-1]}
        self._hidden |= quoted | {value, b64encode(value.encode()).decode()}

    @property
    def longest(self) -> int:
        """Characters of the longest text that is masked."""
        return max(map(len, self._hidden), default=0)

    def masked(self, text: str, limit: int | None = None) -> str:
        """What `text` holds in its first `limit` characters, with `***` for every secret.

        It has to go on for `longest` characters beyond, or else end there.
        """
        if not self._hidden:
            return text[:limit]
        longest_first = sorted(map(re.escape, self._hidden), key=len, reverse=True)
        pattern, end = re.compile("|".join(longest_first), re.IGNORECASE), limit
        for match in pattern.finditer(text):
            if limit is not None and match.start() < limit < match.end():
                end = match.end()
        return pattern.sub("***", text[:end])
