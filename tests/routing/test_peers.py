"""Whoever is at the other end: clients behind proxies, and which of them share."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.peers import Peers, Senders

PROXY = "10.0.0.1"
TRUSTING = Peers(trusted=(ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("203.0.113.7")))


def behind(*values: str, name: str = "x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        (behind("198.51.100.9"), "198.51.100.9"),
        (behind("6.6.6.6, 198.51.100.9"), "198.51.100.9"),
        (behind("6.6.6.6, 198.51.100.9, 10.1.2.3, 203.0.113.7"), "198.51.100.9"),
        (behind("6.6.6.6", "198.51.100.9", "10.1.2.3"), "198.51.100.9"),
        (behind("198.51.100.9:4711"), "198.51.100.9"),
        (behind("[2001:db8::9]:4711"), "2001:db8::9"),
        (behind("2001:db8::9"), "2001:db8::9"),
        (behind("::ffff:198.51.100.9"), "198.51.100.9"),
        (behind("10.9.9.9"), "10.9.9.9"),
        (behind("unknown"), PROXY),
        (behind("6.6.6.6, unknown, 10.1.2.3"), "10.1.2.3"),
        (behind(""), PROXY),
        ([], PROXY),
        (behind('for=198.51.100.9;proto=https;by="10.0.0.1"', name="forwarded"), "198.51.100.9"),
        (behind('For="[2001:db8::9]:4711"', name="forwarded"), "2001:db8::9"),
        (behind("for=6.6.6.6, for=198.51.100.9", "for=10.1.2.3", name="forwarded"), "198.51.100.9"),
        (behind("for=_hidden", name="forwarded"), PROXY),
        (behind("proto=https", name="forwarded"), PROXY),
        (behind("for=6.6.6.6;for=198.51.100.9", name="forwarded"), PROXY),
        (behind("198.51.100.9") + behind("for=6.6.6.6", name="forwarded"), "198.51.100.9"),
    ],
)
def test_the_nearest_address_that_is_not_a_trusted_proxy_is_the_client(headers, client):
    assert TRUSTING.client(PROXY, headers) == client


def test_the_word_of_anybody_else_is_not_taken():
    assert TRUSTING.client("198.51.100.1", behind("6.6.6.6")) == "198.51.100.1"
    assert Peers().client(PROXY, behind("6.6.6.6")) == PROXY
    assert TRUSTING.client("", behind("6.6.6.6")) == ""


addresses = st.ip_addresses().map(str)
hops = st.one_of(addresses, st.text(st.characters(max_codepoint=255), max_size=30))
names = st.sampled_from(["x-forwarded-for", "forwarded", "via"])


@given(st.lists(st.tuples(names, st.lists(hops, max_size=6).map(", ".join)), max_size=5), addresses)
def test_any_headers_lead_to_an_address_and_none_of_them_can_be_chosen_by_a_stranger(headers, peer):
    client = TRUSTING.client(peer, [pair for name, value in headers for pair in behind(value, name=name)])
    assert ip_address(client)
    if not TRUSTING.is_trusted(peer):
        assert client == peer


@given(st.lists(hops, max_size=8), addresses, st.lists(st.sampled_from(["10.1.1.1", "fd00::1", "203.0.113.7"])))
def test_whatever_a_client_claims_its_own_address_is_found(claimed, client, proxies):
    if TRUSTING.is_trusted(client) or len(proxies) > 31:
        return
    found = TRUSTING.client(PROXY, behind(", ".join([*claimed, client, *proxies])))
    mapped = getattr(ip_address(client), "ipv4_mapped", None)
    assert found == str(mapped or ip_address(client))


def test_so_many_proxies_are_looked_at_and_no_more():
    assert TRUSTING.client(PROXY, behind("198.51.100.9" + ",10.1.1.1" * 31)) == "198.51.100.9"
    assert TRUSTING.client(PROXY, behind("198.51.100.9" + ",10.1.1.1" * 16_000)) == "10.1.1.1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
        ("198.51.100.9", "::ffff:198.51.100.9"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_one_party_has_one_share(one, other):
    assert Peers(share_private=True).party(one) == Peers(share_private=True).party(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("198.51.100.9", "198.51.100.8"), ("2001:db8:0:1::1", "2001:db8:0:2::1"), ("::1", "127.0.0.1")]
)
def test_two_parties_have_two(one, other):
    assert Peers(share_private=True).party(one) != Peers(share_private=True).party(other)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.0.0.7", "172.17.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "fe80::1", "", "?"]
)
def test_no_share_applies_to_private_addresses_unless_the_file_says_so(host):
    assert Peers().party(host) == ""
    assert Peers(share_private=True).party(host) != "" or host == ""


@pytest.mark.parametrize("host", ["8.8.8.8", "172.32.0.1", "2002:a00:1::1", "2001:db8::5efe:10.0.0.1"])
def test_an_address_with_a_private_one_inside_is_as_public_as_any(host):
    assert Peers().party(host) != ""


def test_a_sender_is_remembered_by_party_and_path_and_the_oldest_are_forgotten():
    senders = Senders()
    senders.verified("2001:db8::1", b"/in/a")
    assert senders.has_verified("2001:db8::2", b"/in/a")
    assert not senders.has_verified("2001:db8::1", b"/in/b")
    for number in range(4095):
        senders.verified("198.51.100.9", b"/in/%d" % number)
        senders.verified("2001:db8::3", b"/in/a")
    assert senders.has_verified("2001:db8::1", b"/in/a")
    senders.verified("198.51.100.9", b"/in/last")
    assert not senders.has_verified("198.51.100.9", b"/in/0")
    assert senders.has_verified("198.51.100.9", b"/in/last")


def test_an_address_of_many_clients_vouches_for_none_of_them():
    senders = Senders()
    senders.verified("10.0.0.1", b"/in/a")
    assert not senders.has_verified("10.0.0.1", b"/in/a")
    senders = Senders(lambda: Peers(share_private=True))
    senders.verified("10.0.0.1", b"/in/a")
    assert senders.has_verified("10.0.0.1", b"/in/a")


def test_a_trusted_proxy_says_how_clients_reach_it_and_http_is_what_is_not_said():
    assert Peers().scheme([(b"x-forwarded-proto", b"HTTPS")]) == "https"
    assert Peers().scheme([(b"x-forwarded-proto", b"ftp")]) == "http"
    assert Peers().scheme([]) == "http"
