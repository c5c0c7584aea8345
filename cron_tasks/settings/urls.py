"""REDIS_URL is read by kombu, RedBeat and redis-py, which do not agree on what a URL means.

`normalised` checks a URL and writes it so that all of them read the same server out of it:

- kombu 5.7 verifies no certificate for a plain `rediss://`: `ssl_cert_reqs=required` is added.
- kombu takes user, password and database of `sentinel://a;sentinel://b` from the node it talks to:
  they are written to every node. `master_name` stays in the query of the last node; kombu fails on
  it, and wants it as a transport option (kombu/transport/redis.py, SentinelChannel).
- kombu, unlike redis-py, fails on any option in a query that it does not know; so do we, at start.
- kombu names the database of `redis+socket:///path` by `?virtual_host=1`, redis-py by `?db=1`.
"""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

#: Scheme -> default port (None: a path instead), options that its query may have.
_SCHEMES: dict[str, tuple[int | None, frozenset[str]]] = {
    "redis": (6379, frozenset()),
    "rediss": (
        6379,
        frozenset(
            {"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"}
        ),
    ),
    "sentinel": (26379, frozenset({"master_name"})),
    "redis+socket": (None, frozenset({"virtual_host"})),
}


def normalised(url: str) -> str:
    """`url` as kombu, RedBeat and redis-py all understand it.

    redis://[[user]:password@]host[:port][/database], the same with rediss and ?ssl_…,
    redis+socket://[[user]:password@]/path[?virtual_host=database], or
    sentinel://[[user]:password@]host[:port][;sentinel://host[:port]…][/database]?master_name=NAME.

    Raises ValueError, whose text never holds the password.
    """
    parts = [_split(node) for node in url.split(";")]
    scheme, last = parts[0].scheme, parts[-1]
    if any(part.scheme != scheme for part in parts):
        raise ValueError("all nodes have the same scheme")
    if len(parts) > 1 and scheme != "sentinel":
        raise ValueError("only sentinel:// may list several nodes")
    if any(part.query for part in parts[:-1]):
        raise ValueError("the options follow the last node")
    query = _options(last)
    user = _common({part.netloc.rpartition("@")[0] for part in parts}, "user and password")
    user = user and f"{user}@"
    if scheme == "redis+socket":
        return f"{scheme}://{user}{last.path}{query}"
    database = _database(_common({part.path.strip("/") for part in parts}, "database"))
    return ";".join(f"{scheme}://{user}{_address(part)}/{database}" for part in parts) + query


def masked(url: str) -> str:
    """`url` with every password in it as `***`, also one that is not properly written."""
    url = re.sub(r"(://[^:@/]*):(?:(?!;[a-z+]+://).)*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"(://[^:@/[]*):(?!\d{1,5}(?:[/;?#]|$))[^@]*$", r"\1:***", url)


def passwords(url: str) -> set[str]:
    """Every password in a valid `url`, as it is written and decoded."""
    written = {urlsplit(node).password or "" for node in url.split(";")}
    return (written | set(map(unquote, written))) - {""}


def parsed(url: str) -> SplitResult:
    """The parts of `url`, its port a number. Raises ValueError, whose text holds nothing of it."""
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


def _split(node: str) -> SplitResult:
    part = parsed(node)
    if part.scheme == "unix":
        raise ValueError("a Unix socket is written redis+socket:///path?virtual_host=database")
    if part.scheme not in _SCHEMES:
        raise ValueError(f"the scheme is one of {', '.join(_SCHEMES)}")
    if part.fragment:
        raise ValueError("# in a password is written %23")
    if part.scheme == "redis+socket":
        if part.hostname or not part.path.strip("/"):
            raise ValueError("redis+socket:// is followed by an absolute path")
    elif not part.hostname:
        raise ValueError("it has no host")
    return part


def _options(part: SplitResult) -> str:
    options, known = dict(parse_qsl(part.query, keep_blank_values=True)), _SCHEMES[part.scheme][1]
    if options.keys() - known:  # not shown: they may be half of a password with a ? in it
        raise ValueError(
            f"the options of {part.scheme}:// are {', '.join(sorted(known)) or 'none'}"
        )
    if part.scheme == "rediss":
        options.setdefault("ssl_cert_reqs", "required")
        if options["ssl_cert_reqs"] not in {"required", "optional", "none"}:
            raise ValueError("ssl_cert_reqs is required, optional or none")
    if part.scheme == "sentinel" and not options.get("master_name"):
        raise ValueError("?master_name= says which master to ask the sentinels for")
    _database(options.get("virtual_host", ""))
    return f"?{urlencode(options, safe='/')}" if options else ""


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError("the database is a number")
    return int(text or "0")


def _common(said: set[str], what: str) -> str:
    if len(said - {""}) > 1:
        raise ValueError(f"all nodes have the same {what}")
    return max(said)


def _address(part: SplitResult) -> str:
    host, port = part.hostname or "", part.port or _SCHEMES[part.scheme][0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
