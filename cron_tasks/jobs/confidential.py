"""Decide which parts of a job may be secrets, and show jobs without them. Pure.

A job should name its secrets (`${secret:NAME}`), but may also contain them. These count as secrets:
users, passwords and queries in URLs, the path of a `heartbeat_url`, the values of headers, and the
values of fields with the name of a secret. A reference to a secret is shown.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import unquote, urlsplit

from cron_tasks.jobs.placeholders import fill_placeholders

HIDDEN = "***"
#: Members of an object or an array, and levels, of a row that is stored for display.
_MOST, _LEVELS = 4096, 33
#: Shorter texts are not searched for in answers, because they occur in any text.
_LEAST = 6
_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:auth|bearer|jwt|pass|pwd|sig)(?:$|[^a-z])"
    r"|authorization|authentication|cookie|credential|passw|passphrase|secret|session|signature"
    r"|token|(?:access|api|auth|private|signing|subscription)[-_. ]?key|^x-.*key$",
    re.IGNORECASE,
)
_URL = re.compile(r"://\S+")
_USER = re.compile(r"^://[^/?#]*@")
_QUERY = re.compile(r"([?&;])([^=&;#]*=)?([^&;#]+)")
#: A value that a run fills in.
_FILLED = re.compile(r"(?:\$[a-z_]+|\$\{[^}]*\})+", re.IGNORECASE)
_REFERENCE = "${secret:"
#: The parts of a text around its references, and the scheme before a token ("Bearer ").
_AROUND = re.compile(
    r"^[a-z-]+ (?=\$\{secret:)|\$\{secret:[^}]*\}|((?:(?!\$\{secret:[^}]*\}).)+)",
    re.IGNORECASE | re.DOTALL,
)
#: The values of the parameters in a header, such as `response="…"`.
_PARAMETER = re.compile(r"=\s*\"?([^\",;\s=]+)")
_SCHEMES = frozenset({"basic", "bearer", "token"})
#: Stands where a run fills a value in.
_BLANK = "\0"


def is_secret_name(name: str) -> bool:
    """Return whether the name of a field or a header is that of a secret."""
    return bool(_SECRET_NAME.search(name))


def mask_url(text: str) -> str:
    """Return a text with `***` for the users, passwords and queries of the URLs in it."""
    return _URL.sub(_mask_match, text) if "://" in text else text


def mask_written_url(text: str) -> str:
    """Do the same for a text that should be a URL, even if it is malformed."""
    if "://" in text:
        return mask_url(text)
    return mask_url(f"://{text}").removeprefix("://")


def _mask_match(url: re.Match[str]) -> str:
    return _QUERY.sub(_mask_pair, _USER.sub(f"://{HIDDEN}@", url[0]))


def _mask_pair(pair: re.Match[str]) -> str:
    mark, name, value = pair.groups(default="")
    return f"{mark}{name}{value if _FILLED.fullmatch(value) else HIDDEN}"


def mask_value(path: str, value: Any, most: int = 8, levels: int = 7) -> Any:
    """Return the value at a path of a row, such as `action.headers`, as people may see it.

    Objects and arrays have at most `most` members, and at most `levels` levels.
    """
    if isinstance(value, dict | list) and not levels:
        return HIDDEN
    if isinstance(value, dict):
        members = islice(value.items(), most)
        return {key: mask_value(f"{path}.{key}", each, most, levels - 1) for key, each in members}
    if isinstance(value, list):
        return [mask_value(path, each, most, levels - 1) for each in value[:most]]
    if isinstance(value, str):
        return _mask_text(path, value)
    return HIDDEN if isinstance(value, int | float) and _is_secret_path(path, value) else value


def _is_secret_path(path: str, value: Any) -> bool:
    name = path.rpartition(".")[2]
    return not isinstance(value, bool) and ("headers" in path.split(".") or is_secret_name(name))


def _mask_text(path: str, text: str) -> str:
    name = path.rpartition(".")[2]
    if name == "heartbeat_url":
        return mask_path(text)
    if _is_secret_path(path, text):
        return _AROUND.sub(lambda part: HIDDEN if part[1] else part[0], text)
    if _REFERENCE in text:
        return mask_url(text)
    return mask_written_url(text) if name == "url" else mask_url(text)


def mask_job(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a job, or of a row, as people may see them."""
    return {name: mask_value(str(name), each, _MOST, _LEVELS) for name, each in fields.items()}


def mask_path(url: str) -> str:
    """Return a URL with `***` for everything but its scheme and host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    if not parts.scheme or not parts.netloc:
        return HIDDEN
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{HIDDEN}"


def find_literal_secrets(url: str, headers: dict[str, str]) -> Iterator[str]:
    """Yield the secrets that a request contains itself, each as a service may repeat it.

    A value may have placeholders in it. Then each part between them counts.
    """
    parts = urlsplit(_blank_placeholders(url))
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    found = [password or user]
    for pair in re.split("[&;]", parts.query):
        name, has_name, value = pair.partition("=")
        if not has_name:
            found.append(name)
        elif is_secret_name(unquote(name)):
            found.append(value)
    for name, value in headers.items():
        found += _find_in_header(name.lower(), _blank_placeholders(value))
    for each in found:
        for part in each.split(_BLANK):
            if len(part) >= _LEAST:
                yield from {part, unquote(part)}


def _find_in_header(name: str, value: str) -> list[str]:
    """Return what may be a secret in the value of a header, and each part that may be one."""
    if name == "cookie":
        pairs = [each.partition("=")[2].strip() for each in value.split(";")]
        return pairs + [each.strip('"') for each in pairs]
    if not is_secret_name(name):
        return []
    first, _, rest = value.partition(" ")
    # The scheme before a token (RFC 9110, section 11.4) is not a secret.
    if rest.strip() and (name.endswith("authorization") or first.lower() in _SCHEMES):
        value = rest
    return [value.strip(), *value.split(), *_PARAMETER.findall(value)]


def _blank_placeholders(text: str) -> str:
    """Return a text with _BLANK for its placeholders, and `$` for `$$`."""
    return fill_placeholders(text, lambda _: _BLANK, lambda _: _BLANK)
