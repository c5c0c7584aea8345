"""Secrets that jobs reference by name: files in CRON_TASKS_SECRETS_DIR, which each run reads again.

The values go into the request and nowhere else.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cron_tasks.errors import ActionFailed
from cron_tasks.jobs.placeholders import SECRET_NAME
from cron_tasks.settings import PREFIX
from cron_tasks.text.masking import Mask

#: The longest value, in bytes.
LONGEST = 65_536
_NAME = re.compile(SECRET_NAME, re.IGNORECASE)


def list_secrets(folder: Path | None) -> Iterator[str]:
    """Yield the names of the secrets that jobs may use. Secrets of the settings are excluded."""
    try:
        entries = list(os.scandir(folder)) if folder else []
    except OSError:
        return
    for entry in entries:
        if _is_usable(entry.name) and entry.is_file():
            yield entry.name


def _is_usable(name: str) -> bool:
    return bool(_NAME.fullmatch(name)) and not name.upper().startswith(PREFIX)


class Secrets(Mask):
    """The secrets of one run. A secret is masked once it is read.

    `were_read` is whether any was read from a file. Others may be literals in the job.
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._folder = folder
        self.were_read = False

    def read_value(self, name: str) -> str:
        """Return the value of a secret. Raises ActionFailed, permanent, if there is none."""
        try:
            if self._folder is None or not _is_usable(name):
                raise FileNotFoundError
            with (self._folder / name).open("rb") as file:
                value = file.read(LONGEST + 1).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else "cannot be read"
            text = f"the secret {name} in the folder CRON_TASKS_SECRETS_DIR {why}"
            raise ActionFailed(text, permanent=True) from None
        if not value or len(value) > LONGEST:
            text = f"the secret {name} is empty or longer than {LONGEST} bytes"
            raise ActionFailed(text, permanent=True)
        self.hide(value)
        self.were_read = True
        return value
