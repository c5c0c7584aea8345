"""Read REDIS_URL in one way for kombu, RedBeat and redis-py, which interpret URLs differently.

`str(parse_redis_url(url))` is a URL from which all of them read the same server:

- kombu 5.7 verifies no certificate for a plain `rediss://`, so `ssl_cert_reqs=required` is added.
- kombu takes user, password and database of `sentinel://a;sentinel://b` from the node it talks to,
  so they are written to every node. `master_name` stays in the query of the last node. kombu fails
  on it there, and needs it as a transport option (kombu/transport/redis.py, SentinelChannel).
- kombu, unlike redis-py, fails on unknown options in a query. So does this module, at start.
- kombu calls a Unix socket `redis+socket:///path?virtual_host=0`, and redis-py `unix:///path?db=0`.
  `for_kombu` is the first form.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode

from cron_tasks.text.urls import split_url

#: The default port of each scheme, and the options that its query may have.
_SCHEMES: dict[str, tuple[int, set[str]]] = {
    "redis": (6379, set()),
    "rediss": (
        6379,
        {"ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"},
    ),
    "sentinel": (26379, {"master_name"}),
    "unix": (0, {"db"}),
    "redis+socket": (0, {"virtual_host"}),
}


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """The parts of a URL. `credentials` are `user:password` as written, or empty.

    The one node of a Unix socket is its path, percent-encoded, and the port 0.
    """

    scheme: str
    credentials: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...]
    database: int
    options: Mapping[str, str]

    @property
    def username(self) -> str | None:
        return unquote(self.credentials.partition(":")[0]) or None

    @property
    def password(self) -> str | None:
        return unquote(self.credentials.partition(":")[2]) or None

    @property
    def spellings_of_password(self) -> set[str]:
        """Return the password as it is written, and decoded."""
        return {self.credentials.partition(":")[2], self.password or ""} - {""}

    @property
    def for_kombu(self) -> str:
        """Return the URL that kombu reads, without the options that it takes elsewhere."""
        if self.scheme == "unix":
            place = str(self).removeprefix("unix").partition("?")[0]
            return f"redis+socket{place}?virtual_host={self.database}"
        return str(self).partition("?")[0] if self.scheme == "sentinel" else str(self)

    def __str__(self) -> str:
        user = f"{self.credentials}@" if self.credentials else ""
        if self.scheme == "unix":
            return f"unix://{user}{self.nodes[0][0]}?db={self.database}"
        nodes = (
            f"{self.scheme}://{user}{_join_address(*node)}/{self.database}" for node in self.nodes
        )
        query = f"?{urlencode(self.options, safe='/')}" if self.options else ""
        return ";".join(nodes) + query


def parse_redis_url(url: str) -> RedisUrl:
    """Read a URL in one of these forms:

    - redis://[[user]:password@]host[:port][/database]
    - rediss://…, the same with ?ssl_…
    - sentinel://[[user]:password@]host[:port][;sentinel://host[:port]…][/database]?master_name=NAME
    - unix://[[user]:password@]/path/to.sock[?db=database]
    - redis+socket://[[user]:password@]/path/to.sock[?virtual_host=database], which is the same

    Raises ValueError. Its text never contains the password.
    """
    if url.startswith(("unix:", "redis+socket:")):
        return _parse_socket(split_url(url))
    nodes = [split_url(node) for node in url.split(";")]
    scheme, last = nodes[0].scheme, nodes[-1]
    users = {node.netloc.rpartition("@")[0] for node in nodes}
    databases = {node.path.strip("/") for node in nodes}
    for is_wrong, why in (
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
        if is_wrong:
            raise ValueError(why)
    port, _ = _SCHEMES[scheme]
    addresses = tuple((node.hostname or "", node.port or port) for node in nodes)
    return RedisUrl(scheme, max(users), addresses, int(max(databases) or "0"), _read_options(last))


def _parse_socket(part: SplitResult) -> RedisUrl:
    """Read the URL of a Unix socket. Raises ValueError."""
    credentials, _, host = part.netloc.rpartition("@")
    options = _read_options(part)
    database = next(iter(options.values()), "0")
    for is_wrong, why in (
        (host or len(part.path) < 2, f"a socket has the form {part.scheme}:///path/to.sock"),
        (part.fragment, "# in a password or a path is written %23"),
        (not re.fullmatch("[0-9]+", database), "the database is a number"),
    ):
        if is_wrong:
            raise ValueError(why)
    return RedisUrl("unix", credentials, ((part.path, 0),), int(database), {})


def _read_options(part: SplitResult) -> dict[str, str]:
    options, known = dict(parse_qsl(part.query, keep_blank_values=True)), _SCHEMES[part.scheme][1]
    if part.scheme == "rediss":
        options.setdefault("ssl_cert_reqs", "required")
    if options.keys() - known:  # They may be half of a password that contains a ?
        raise ValueError(
            f"the options of {part.scheme}:// are {', '.join(sorted(known)) or 'none'}"
        )
    if options.get("ssl_cert_reqs", "none") not in {"required", "optional", "none"}:
        raise ValueError("ssl_cert_reqs is required, optional or none")
    if part.scheme == "sentinel" and not options.get("master_name"):
        raise ValueError("?master_name= is missing: it names the master that the sentinels watch")
    return options


def _join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
