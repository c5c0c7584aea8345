"""Tables of addresses that are public and of those that are not, and of rules that allow them."""

from ipaddress import ip_address

import pytest

from cron_tasks.http.addresses import (
    explain_host_refusal,
    explain_refusal,
    is_host_allowed,
    normalize_rule,
    parse_address,
)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"),
        *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"),
        *("192.0.1.1", "192.31.196.1", "192.175.48.1", "198.17.255.255", "198.20.0.1"),
        *("100.63.255.255", "100.128.0.1", "223.255.255.255", "3ffe:ffff::1", "3fff:1000::1"),
        *("2001:200::1", "2001:db9::1", "2620:4f:8000::1", "2003::1"),
    ],
)
def test_a_public_address(address: str) -> None:
    assert explain_refusal(ip_address(address), ()) is None


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback"),
        ("127.255.255.254", "a loopback"),
        ("::1", "a loopback"),
        ("10.1.2.3", "a private"),
        ("172.16.0.1", "a private"),
        ("192.168.0.1", "a private"),
        ("100.64.0.1", "a non-public"),
        ("169.254.169.254", "a link-local"),
        ("0.0.0.0", "an unspecified"),
        ("::", "an unspecified"),
        ("0.1.2.3", "a private"),
        ("198.18.0.1", "a private"),
        ("224.0.0.1", "a multicast"),
        ("239.255.255.255", "a multicast"),
        ("240.0.0.1", "a private"),
        ("255.255.255.255", "a private"),
        ("fc00::1", "a private"),
        ("fd00:ec2::254", "a private"),
        ("fe80::1", "a link-local"),
        ("fe80::1%eth0", "a link-local"),
        ("fec0::1", "a private"),
        ("ff02::1", "a multicast"),
        ("ff0e::1", "a multicast"),
        ("::ffff:127.0.0.1", "a loopback"),
        ("::ffff:169.254.169.254", "a link-local"),
        ("::127.0.0.1", "a reserved"),
        ("64:ff9b::10.0.0.1", "a private"),
        ("2002:7f00:1::", "a loopback"),
        ("2002:a00:1::1", "a private"),
        ("2001::1", "a private"),
        ("2001:db8::1", "a private"),
        ("192.0.0.9", "a private"),
        ("192.0.0.171", "a private"),
        ("192.0.2.1", "a private"),
        ("192.88.99.1", "a reserved"),
        ("198.51.100.1", "a private"),
        ("203.0.113.1", "a private"),
        ("2001:1::1", "a private"),
        ("2001:20::1", "a private"),
        ("2001:1ff:ffff::1", "a private"),
        ("3fff::1", "a private"),
        ("3fff:fff:ffff::1", "a private"),
        ("5f00::1", "a reserved"),
        ("64:ff9b:1::1", "a reserved"),
        ("100::1", "a reserved"),
        ("100:0:0:1::1", "a reserved"),
        ("::ffff:0:10.0.0.1", "a reserved"),
        ("4000::1", "a reserved"),
        ("::ffff:192.0.0.8", "a private"),
        ("::ffff:240.0.0.1", "a private"),
        ("64:ff9b::c0a8:1", "a private"),
        ("64:ff9b::6440:1", "a non-public"),
        ("2002:c0a8:1::1", "a private"),
        ("2002:c000:9::1", "a private"),
        ("2002:a9fe:a9fe::1", "a link-local"),
    ],
)
def test_an_address_that_is_not_public(address: str, kind: str) -> None:
    assert explain_refusal(ip_address(address), ()) == f"{ip_address(address)} is {kind} address"
    assert explain_refusal(ip_address(address), ["203.0.112.0/24", "example.org"]) is not None


def test_addresses_on_which_versions_of_python_disagree() -> None:
    assert explain_refusal(ip_address("64:ff9b:1::a00:1"), ()) is not None


@pytest.mark.parametrize(
    ("address", "rules"),
    [
        ("10.1.2.3", ["10.0.0.0/8"]),
        ("10.1.2.3", ["x.example", "10.1.2.3/32"]),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"]),
        ("64:ff9b::10.1.2.3", ["64:ff9b::/96"]),
        ("fd00::1", ["fd00::/8"]),
        ("::1", ["::1/128"]),
    ],
)
def test_a_network_that_is_allowed(address: str, rules: list[str]) -> None:
    assert explain_refusal(ip_address(address), rules) is None


@pytest.mark.parametrize(
    ("host", "rules", "allowed"),
    [
        ("api.intern", ["api.intern"], True),
        ("API.intern.", ["api.intern"], True),
        ("api.intern", ["intern"], False),
        ("api.intern", ["*.intern"], True),
        ("a.b.intern", ["*.intern"], True),
        ("intern", ["*.intern"], False),
        ("notintern", ["*.intern"], False),
        ("evil-api.intern", ["api.intern"], False),
        ("anything", ["*"], True),
        ("10.0.0.1", ["10.0.0.0/8"], False),  # by its address, not by its name
        ("x", [], False),
    ],
)
def test_a_host_that_is_allowed_by_name(host: str, rules: list[str], allowed: bool) -> None:
    assert is_host_allowed(host, rules) is allowed


@pytest.mark.parametrize(
    ("host", "rules", "refused"),
    [
        ("example.org", [], None),
        ("8.8.8.8", [], None),
        ("localhost", [], "localhost is a loopback address"),
        ("LOCALHOST.", [], "LOCALHOST. is a loopback address"),
        ("a.localhost", [], "a.localhost is a loopback address"),
        ("localhost", ["::1/128"], None),
        ("localhost", ["127.0.0.0/8"], None),
        ("localhost", ["localhost"], None),
        ("127.1", [], "127.0.0.1 is a loopback address"),
        ("2130706433", [], "127.0.0.1 is a loopback address"),
        ("0x7f.1", [], "127.0.0.1 is a loopback address"),
        ("0177.0.0.1", [], "127.0.0.1 is a loopback address"),
        ("::ffff:127.0.0.1", ["*"], None),
        ("10.0.0.1", ["10.0.0.0/8"], None),
        ("dead", [], None),
        ("deadbeef.example", [], None),
    ],
)
def test_a_host_that_is_refused_by_its_name_alone(
    host: str, rules: list[str], refused: str | None
) -> None:
    assert explain_host_refusal(host, rules) == refused


def test_a_literal_address_is_read_as_the_resolver_reads_it() -> None:
    assert parse_address("1.2") == ip_address("1.0.0.2")
    assert (
        parse_address("1.2.3.4.5")
        is parse_address("256.1.1.1")
        is parse_address("example.org")
        is None
    )


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("*", "*"),
        ("API.Intern.", "api.intern"),
        ("*.intern", "*.intern"),
        ("valkey", "valkey"),
        ("my_service", "my_service"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        ("[::1]", "::1/128"),
        ("fd00::/8", "fd00::/8"),
    ],
)
def test_a_rule(text: str, meaning: str) -> None:
    assert normalize_rule(text) == meaning


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://a", "'http://a' is a URL; give its host"),
        ("a:80", "'a:80' has a port; a rule holds for all ports of a host"),
        ("[::1]:80", "'[::1]:80' has a port; a rule holds for all ports of a host"),
        ("10.0.0.1/8", "'10.0.0.1/8' has host bits set; did you mean 10.0.0.0/8?"),
        ("10.0.0.0/33", "'10.0.0.0/33' is not a host, *.domain, address, network or *"),
        ("256.1.1.1", "'256.1.1.1' is not a host, *.domain, address, network or *"),
        ("127.1", "'127.1' is not a host, *.domain, address, network or *"),
        ("a.*.b", "'a.*.b' is not a host, *.domain, address, network or *"),
        ("a b", "'a b' is not a host, *.domain, address, network or *"),
        ("a..b", "'a..b' is not a host, *.domain, address, network or *"),
        ("ü..b", "'ü..b' is not a host, *.domain, address, network or *"),
    ],
)
def test_a_wrong_rule_is_explained(text: str, why: str) -> None:
    with pytest.raises(ValueError) as caught:
        normalize_rule(text)
    assert str(caught.value) == why


def test_hosts_as_browsers_spell_them() -> None:
    assert normalize_rule("faß.de") == "xn--fa-hia.de"
    assert normalize_rule("*.FAẞ.de.") == "*.xn--fa-hia.de"
    assert normalize_rule("fa%C3%9F.de") == "xn--fa-hia.de"
    assert normalize_rule("ΒΌΛΟΣ.com") == normalize_rule("βόλοσ.com") != normalize_rule("βόλος.com")
    assert normalize_rule("my_service.münchen.de") == "my_service.xn--mnchen-3ya.de"
    assert normalize_rule("💩.la") == "xn--ls8h.la"
    assert is_host_allowed("xn--fa-hia.de", [normalize_rule("faß.de")])
    assert not is_host_allowed("fass.de", [normalize_rule("faß.de")])
