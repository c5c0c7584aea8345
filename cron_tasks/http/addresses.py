"""Decide which hosts and addresses a job may reach. Pure: names are resolved elsewhere.

Public addresses are always allowed. The others may belong to the operator's own machines (SSRF), so
each needs a rule of HTTP_ALLOW: a host name, `*.example.com`, an address, a network, or `*`.
"""

import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cron_tasks.http.hosts import to_ascii_host
from cron_tasks.text.display import short_repr

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressRefused(Exception):
    """A job may not reach this host. The text explains why."""


_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}")
#: Networks that are not public, with the kind that messages name. The first match is used. The
#: sources are the IANA registries of special-purpose addresses
#: (https://www.iana.org/assignments/iana-ipv4-special-registry/ and
#: https://www.iana.org/assignments/iana-ipv6-special-registry/), multicast and deprecated networks.
#: The result of Python's `is_global` depends on the version of Python, so it is not used.
_NOT_PUBLIC: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/32", "an unspecified"),  # RFC 1122
        ("0.0.0.0/8", "a private"),  # RFC 791, this network
        ("10.0.0.0/8", "a private"),  # RFC 1918
        ("100.64.0.0/10", "a non-public"),  # RFC 6598, behind a carrier's NAT
        ("127.0.0.0/8", "a loopback"),  # RFC 1122
        ("169.254.0.0/16", "a link-local"),  # RFC 3927, with the metadata of clouds
        ("172.16.0.0/12", "a private"),  # RFC 1918
        ("192.0.0.0/24", "a private"),  # RFC 6890, protocol assignments
        ("192.0.2.0/24", "a private"),  # RFC 5737, documentation
        ("192.88.99.0/24", "a reserved"),  # RFC 7526, once relays of 6to4
        ("192.168.0.0/16", "a private"),  # RFC 1918
        ("198.18.0.0/15", "a private"),  # RFC 2544, benchmarks
        ("198.51.100.0/24", "a private"),  # RFC 5737
        ("203.0.113.0/24", "a private"),  # RFC 5737
        ("224.0.0.0/4", "a multicast"),  # RFC 5771
        ("240.0.0.0/4", "a private"),  # RFC 1112, reserved, and broadcast
        ("::/128", "an unspecified"),  # RFC 4291
        ("::1/128", "a loopback"),  # RFC 4291
        ("2001::/23", "a private"),  # RFC 2928, protocol assignments, Teredo among them
        ("2001:db8::/32", "a private"),  # RFC 3849, documentation
        ("3fff::/20", "a private"),  # RFC 9637, documentation
        ("fc00::/7", "a private"),  # RFC 4193
        ("fe80::/10", "a link-local"),  # RFC 4291
        ("fec0::/10", "a private"),  # RFC 3879, once site-local
        ("ff00::/8", "a multicast"),  # RFC 4291
    )
)
#: Global unicast (https://www.iana.org/assignments/ipv6-address-space/). Everything else is not
#: public, such as 64:ff9b:1::/48 (RFC 8215), 100::/64 (RFC 6666) and 5f00::/16 (RFC 9602).
_GLOBAL_IPV6 = IPv6Network("2000::/3")
#: IPv6 networks whose addresses embed an IPv4 address, and the bits to the right of it.
_EMBEDDING = (
    (IPv6Network("::ffff:0:0/96"), 0),  # RFC 4291, IPv4-mapped
    (IPv6Network("64:ff9b::/96"), 0),  # RFC 6052, NAT64
    (IPv6Network("2002::/16"), 80),  # RFC 3056, 6to4
)


def normalize_rule(text: str) -> str:
    """Return a rule in its one spelling. Raises ValueError, which explains what is wrong."""
    try:
        name = to_ascii_host(text.removesuffix("."))
    except ValueError:  # it may be an address or a network
        name = text.lower()
    if name == "*":
        return name
    if "://" in name:
        raise ValueError(f"{short_repr(text)} is a URL; give its host")
    try:
        return str(ip_network(name.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        if "has host bits set" in str(error):
            network = ip_network(name, strict=False)
            raise ValueError(
                f"{short_repr(text)} has host bits set; did you mean {network}?"
            ) from None
    if re.fullmatch(r".*[\w\]]:\d+", name):
        raise ValueError(f"{short_repr(text)} has a port; a rule holds for all ports of a host")
    if parse_address(name) or re.fullmatch(r"[\d.]+(/.*)?", name) or not _HOST.fullmatch(name):
        raise ValueError(f"{short_repr(text)} is not a host, *.domain, address, network or *")
    return name


def is_host_allowed(host: str, rules: Sequence[str]) -> bool:
    """Return whether a rule allows the host by its name, whatever its address."""
    names, _ = _split_rules(tuple(rules))
    host = host.lower().removesuffix(".")
    wildcards = (f"*.{host[at + 1 :]}" for at, char in enumerate(host) if char == ".")
    return "*" in names or host in names or any(each in names for each in wildcards)


def explain_refusal(address: Address, rules: Sequence[str]) -> str | None:
    """Return why a job may not reach the address, or None if it may.

    An example is "127.0.0.1 is a loopback address".
    """
    inner = _extract_ipv4(address)
    kind = _find_kind(inner)
    if kind is None:
        return None
    _, networks = _split_rules(tuple(rules))
    if any(each in network for network in networks for each in (address, inner)):
        return None
    return f"{address} is {kind} address"


def _find_kind(address: Address) -> str | None:
    """Return the kind of the address with its article, or None if it is public."""
    for network, kind in _NOT_PUBLIC:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6:
        return "a reserved"
    return None


def explain_host_refusal(host: str, rules: Sequence[str]) -> str | None:
    """Return why a job may not reach the host, or None if its name alone does not show that."""
    if is_host_allowed(host, rules):
        return None
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        found = [explain_refusal(ip_address(each), rules) for each in ("127.0.0.1", "::1")]
        return f"{host} is a loopback address" if all(found) else None
    address = parse_address(name)
    return explain_refusal(address, rules) if address else None


def parse_address(host: str) -> Address | None:
    """Return the address that `host` is, or None if it is a name.

    `2130706433`, `0x7f.1` and `127.1` are addresses, too (inet_aton(3)).
    """
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if re.fullmatch("[0-9a-fx.]+", host) else None
    except OSError:
        return None


def _extract_ipv4(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address embeds, or the address itself."""
    for network, shift in _EMBEDDING:
        if address in network:
            return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


@lru_cache(maxsize=16)
def _split_rules(rules: tuple[str, ...]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """Return the names and the networks among the rules."""
    networks = {each: ip_network(each) for each in rules if "/" in each}
    return frozenset(rules) - networks.keys(), tuple(networks.values())
