"""Split, check and mask URLs that may contain a password. Pure."""

import re
from urllib.parse import SplitResult, urlsplit


def split_url(url: str) -> SplitResult:
    """Return the parts of `url`, whose port is a number or None.

    Raises ValueError. Its text contains nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        usable = parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(
            "its host or port is unusable; "
            "in a password, write / as %2F, @ as %40, # as %23, ; as %3B"
        )
    return parts


def check_web_url(url: str) -> None:
    """Raise ValueError, whose text has nothing of `url`, unless it names a server and no user."""
    parts = split_url(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("it has to start with http:// or https:// and a host, without a user")
    if not all("!" <= char <= "~" for char in url):
        raise ValueError("it contains a space, a line break or a character beyond ASCII")


def mask_passwords(url: str) -> str:
    """Return `url` with `***` for every password, even if it is malformed."""
    url = re.sub(r"(://[^:@/]*):(?:(?!;[a-z+]+://).)*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(://[^:@/[]*):(?!\d{1,5}(?:[/;?#]|$))[^@]*$", r"\1:***", url)
