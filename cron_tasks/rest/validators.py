"""The version of the list, by the headers of its answer. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators that a service gives to the version of its list (RFC 9110, section 8.8)."""

    etag: str | None = None
    last_modified: str | None = None

    def as_headers(self) -> dict[str, str]:
        """Return the headers of a request for the list on condition that it has changed."""
        named = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in named.items() if value}


def find_validators(headers: Mapping[str, str]) -> Validators | None:
    """Return the validators that can be relied on, or None.

    A Last-Modified in the same second as the answer is weak. The list may change again within that
    second and keep the same Last-Modified (RFC 9110, section 8.8.2.2).
    """
    etag, modified = headers.get("ETag", "").strip() or None, None
    with suppress(KeyError, ValueError, TypeError, OverflowError):
        stamp = headers["Last-Modified"]
        age = parsedate_to_datetime(headers["Date"]) - parsedate_to_datetime(stamp)
        modified = stamp if age >= timedelta(seconds=1) else None
    return Validators(etag, modified) if etag or modified else None
