"""Convert host names to the form in which they are compared, resolved and sent. Pure.

Python's codec "idna" implements IDNA 2003, which turns `faß.de` into `fass.de`, a different domain.
Browsers use IDNA 2008 with UTS 46, non-transitional (https://www.unicode.org/reports/tr46/).
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import idna

DEFAULT_PORTS = {"http": 80, "https": 443}
#: Longest label and longest name (RFC 1035, section 2.3.4).
_MAX_LABEL, _MAX_NAME = 63, 253
_NOT_IN_A_NAME = re.compile(r"[\x00-\x20\x7f/?#@:%\\\[\]]")
#: RFC 9110, section 7.2, with names that resolvers accept.
_HOST_HEADER = re.compile(
    r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z_.-]+))(:(?P<port>[0-9]{1,5}))?"
)


@lru_cache(maxsize=1024)
def to_ascii_host(host: str) -> str:
    """Return a host name in lower-case ASCII, such as `xn--fa-hia.de`.

    Percent-encoded UTF-8 is decoded first (RFC 3986, section 3.2.2). Raises ValueError if `host`
    is not a host name.
    """
    try:
        name = host if "%" not in host else unquote(host, errors="strict")
        if not name.isascii():
            mapped = idna.uts46_remap(name, std3_rules=False)
            name = ".".join(map(_label_to_ascii, mapped.split(".")))
    except ValueError:  # an IDNAError and a UnicodeDecodeError, too
        raise ValueError("not a host name that IDNA 2008 allows") from None
    labels = name.removesuffix(".").split(".")
    is_short = len(name) <= _MAX_NAME + 1 and all(0 < len(each) <= _MAX_LABEL for each in labels)
    if not is_short or _NOT_IN_A_NAME.search(name):
        raise ValueError("not a host name")
    return name.lower()


def _label_to_ascii(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        # UTS 46 and browsers allow symbols such as emoji. IDNA 2008 itself does not.
        return "xn--" + label.encode("punycode").decode()


def host_of_url(parts: SplitResult) -> str:
    """Return the host of a split URL without brackets, or an empty text. Raises ValueError."""
    place = parts.netloc.rpartition("@")[2]
    if place.startswith("["):
        return parts.hostname or ""
    # Not `hostname`: Python's lower() differs from UTS 46, e.g. for a final Σ.
    host = place.partition(":")[0]
    return to_ascii_host(host) if host else ""


def with_ascii_host(url: str) -> str:
    """Return a URL with its host in ASCII. Raises ValueError if it is not a host name."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    if place.startswith("[") or (place.isascii() and "%" not in place):
        return url
    _, colon, port = place.partition(":")
    return urlunsplit(parts._replace(netloc=user + at + host_of_url(parts) + colon + port))


def is_host_header(value: str) -> bool:
    """Return whether a value can be sent as the header Host: an ASCII host or host:port."""
    match = _HOST_HEADER.fullmatch(value)
    if not match or int(match["port"] or 0) > 65_535:
        return False
    try:
        return bool(IPv6Address(match["v6"]) if match["v6"] else to_ascii_host(match["name"]))
    except ValueError:
        return False
