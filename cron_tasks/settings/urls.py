"""REDIS_URL is read by kombu, RedBeat and redis-py, which do not agree on what a URL means.

`normalised` checks a URL and writes it so that all of them read the same server out of it:

- kombu 5.7 verifies no certificate for a plain `rediss://`: `ssl_cert_reqs=required` is added.
- kombu takes user, password and database of `sentinel://a;sentinel://b` from the node it talks to:
  they are written to every node. `master_name` stays in the query of the last node; kombu fails on
  it, and wants it as a transport option (kombu/transport/redis.py, SentinelChannel).
- kombu, unlike redis-py, fails on any option in a query that it does not know; so do we, at start.
"""

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

#: Scheme -> default port, options that its query may have.
_SCHEMES: dict[str, tuple[int, set[str]]] = {
    "redis": (6379, set()),
    "rediss": (
        6379,
        {"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"},
    ),
    "sentinel": (26379, {"master_name"}),
}


def normalised(url: str) -> str:
    """`url` as kombu, RedBeat and redis-py all understand it.

    redis://[[user]:password@]host[:port][/database], the same with rediss and ?ssl_…, or
    sentinel://[[user]:password@]host[:port][;sentinel://host[:port]…][/database]?master_name=NAME.

    Raises ValueError, whose text never holds the password.
    """
    nodes = [parsed(node) for node in url.split(";")]
    scheme, last = nodes[0].scheme, nodes[-1]
    users = {node.netloc.rpartition("@")[0] for node in nodes}
    databases = {node.path.strip("/") for node in nodes}
    for wrong, why in (
        (scheme not in _SCHEMES, f"the scheme is one of {', '.join(_SCHEMES)}"),
        (any(node.scheme != scheme for node in nodes), "all nodes have the same scheme"),
        (len(nodes) > 1 and scheme != "sentinel", "only sentinel:// may list several nodes"),
        (not all(node.hostname for node in nodes), "it has no host"),
        (any(node.fragment for node in nodes), "# in a password is written %23"),
        (any(node.query for node in nodes[:-1]), "the options follow the last node"),
        (len(users - {""}) > 1, "all nodes have the same user and password"),
        (len(databases - {""}) > 1, "all nodes have the same database"),
        (not re.fullmatch("[0-9]*", max(databases)), "the database is a number"),
    ):
        if wrong:
            raise ValueError(why)
    user = f"{max(users)}@" if max(users) else ""
    tail = f"/{int(max(databases) or '0')}"
    return ";".join(f"{scheme}://{user}{_address(node)}{tail}" for node in nodes) + _options(last)


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


def _options(part: SplitResult) -> str:
    options, known = dict(parse_qsl(part.query, keep_blank_values=True)), _SCHEMES[part.scheme][1]
    if part.scheme == "rediss":
        options.setdefault("ssl_cert_reqs", "required")
    if options.keys() - known:  # not shown: they may be half of a password with a ? in it
        raise ValueError(
            f"the options of {part.scheme}:// are {', '.join(sorted(known)) or 'none'}"
        )
    if options.get("ssl_cert_reqs", "none") not in {"required", "optional", "none"}:
        raise ValueError("ssl_cert_reqs is required, optional or none")
    if part.scheme == "sentinel" and not options.get("master_name"):
        raise ValueError("?master_name= says which master to ask the sentinels for")
    return f"?{urlencode(options, safe='/')}" if options else ""


def _address(part: SplitResult) -> str:
    host, port = part.hostname or "", part.port or _SCHEMES[part.scheme][0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
