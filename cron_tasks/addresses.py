"""Which hosts and addresses a job may reach. Pure: names are resolved elsewhere.

Public addresses are free. Behind the others are the operator's own machines (SSRF), so each needs a
rule of HTTP_ALLOW: a host name, `*.example.com`, an address, a network, or `*`.
"""

import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from cron_tasks.text import shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_HOST = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_KINDS = (
    ("is_loopback", "a loopback"),
    ("is_link_local", "a link-local"),
    ("is_multicast", "a multicast"),
    ("is_unspecified", "an unspecified"),
    ("is_site_local", "a private"),
    ("is_private", "a private"),
    ("is_reserved", "a reserved"),
)


def rule(text: str) -> str:
    """A rule in its one spelling. Raises ValueError, which says what is wrong with it."""
    name = text.lower().removesuffix(".")
    if name == "*":
        return name
    if "://" in name:
        raise ValueError(f"{shown(text)} is a URL; give its host")
    try:
        return str(ip_network(name.removeprefix("[").removesuffix("]")))
    except ValueError as error:
        if "has host bits set" in str(error):
            network = ip_network(name, strict=False)
            raise ValueError(f"{shown(text)} has host bits set; did you mean {network}?") from None
    if re.fullmatch(r".*[\w\]]:\d+", name):
        raise ValueError(f"{shown(text)} has a port; a rule holds for all ports of a host")
    if literal(name) or re.fullmatch(r"[\d.]+(/.*)?", name) or not _HOST.fullmatch(_ascii(name)):
        raise ValueError(f"{shown(text)} is no host, *.domain, address, network or *")
    return _ascii(name)


def host_allowed(host: str, rules: Sequence[str]) -> bool:
    """Whether a rule allows the host by its name, whatever its address."""
    names, _ = _parsed(tuple(rules))
    host = host.lower().removesuffix(".")
    wildcards = (f"*.{host[at + 1 :]}" for at, char in enumerate(host) if char == ".")
    return "*" in names or host in names or any(each in names for each in wildcards)


def refusal(address: Address, rules: Sequence[str]) -> str | None:
    """Why a job may not reach the address ("127.0.0.1 is a loopback address"); None if it may."""
    inner = _embedded(address)
    if inner.is_global and not inner.is_multicast and not inner.is_reserved and not _local(inner):
        return None
    _, networks = _parsed(tuple(rules))
    if any(each in network for network in networks for each in (address, inner)):
        return None
    kind = next((text for test, text in _KINDS if getattr(inner, test, False)), "a non-public")
    return f"{address} is {kind} address"


def refused_host(host: str, rules: Sequence[str]) -> str | None:
    """Why a job may not reach the host, as far as its name alone tells."""
    if host_allowed(host, rules):
        return None
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        found = [refusal(ip_address(each), rules) for each in ("127.0.0.1", "::1")]
        return f"{host} is a loopback address" if all(found) else None
    address = literal(name)
    return refusal(address, rules) if address else None


def literal(host: str) -> Address | None:
    """The address that the host is, also as `2130706433`, `0x7f.1` or `127.1` (inet_aton(3))."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if re.fullmatch("[0-9a-fx.]+", host) else None
    except OSError:
        return None


def _local(address: Address) -> bool:
    return isinstance(address, IPv6Address) and address.is_site_local


def _embedded(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to: IPv4-mapped, 6to4 or NAT64."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return host


@lru_cache(maxsize=16)
def _parsed(rules: tuple[str, ...]) -> tuple[frozenset[str], tuple[Network, ...]]:
    """Names and networks."""
    networks = {each: ip_network(each) for each in rules if "/" in each}
    return frozenset(rules) - networks.keys(), tuple(networks.values())
