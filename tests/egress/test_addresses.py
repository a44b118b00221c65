"""The table of addresses: which of them http may reach by a name, which a hosted service may, and which nobody may."""

import ipaddress
import socket

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.egress.addresses import Reach, embedded, is_localhost, literal, odd_spelling, standing
from gateway.egress.door import Door, Guard, Listeners
from gateway.errors import AddressBlocked

BOTH, HTTP, NOBODY = "both", "http only", "nobody"

TABLE = [
    # public
    ("1.1.1.1", BOTH),
    ("8.8.8.8", BOTH),
    ("52.95.110.1", BOTH),
    ("9.255.255.255", BOTH),
    ("11.0.0.0", BOTH),
    ("100.63.255.255", BOTH),
    ("100.128.0.0", BOTH),
    ("126.255.255.255", BOTH),
    ("128.0.0.1", BOTH),
    ("168.63.129.15", BOTH),
    ("169.253.255.255", BOTH),
    ("169.255.0.0", BOTH),
    ("172.15.255.255", BOTH),
    ("172.32.0.0", BOTH),
    ("192.0.1.1", BOTH),
    ("192.167.255.255", BOTH),
    ("192.169.0.0", BOTH),
    ("198.17.255.255", BOTH),
    ("198.20.0.0", BOTH),
    ("223.255.255.255", BOTH),
    ("2606:4700::1111", BOTH),
    ("2a00:1450:4001:80b::200e", BOTH),
    ("::ffff:8.8.8.8", BOTH),
    ("::ffff:0:8.8.8.8", BOTH),
    ("64:ff9b::8.8.8.8", BOTH),
    ("2606:4700::5efe:808:808", BOTH),
    # private
    ("2002:808:808::1", HTTP),
    ("2001:0:808:808:0:0:f7f7:f7f7", HTTP),
    ("10.0.0.1", HTTP),
    ("10.255.255.255", HTTP),
    ("172.16.0.1", HTTP),
    ("172.31.255.255", HTTP),
    ("192.168.0.1", HTTP),
    ("127.0.0.1", HTTP),
    ("127.255.255.254", HTTP),
    ("100.64.0.1", HTTP),
    ("100.127.255.255", HTTP),
    ("198.18.0.1", HTTP),
    ("198.19.255.255", HTTP),
    ("::1", HTTP),
    ("fc00::1", HTTP),
    ("fd12:3456::1", HTTP),
    ("fec0::1", HTTP),
    ("2001:2::1", HTTP),
    ("::ffff:10.0.0.1", HTTP),
    ("::ffff:127.0.0.1", HTTP),
    ("::ffff:0:127.0.0.1", HTTP),
    ("64:ff9b::10.0.0.1", HTTP),
    ("64:ff9b::127.0.0.1", HTTP),
    ("64:ff9b:1::8.8.8.8", HTTP),
    ("2002:a00:1::1", HTTP),
    ("2002:7f00:1::", HTTP),
    ("2001:0:808:808:0:0:f5ff:fffe", HTTP),
    ("2001:0:a00:1:0:0:f7f7:f7f7", HTTP),
    ("2606:4700::5efe:10.0.0.1", HTTP),
    ("2606:4700::200:5efe:192.168.0.1", HTTP),
    # forbidden
    ("0.0.0.0", NOBODY),
    ("0.1.2.3", NOBODY),
    ("::", NOBODY),
    ("169.254.169.254", NOBODY),
    ("169.254.170.2", NOBODY),
    ("169.254.0.23", NOBODY),
    ("168.63.129.16", NOBODY),
    ("100.100.100.200", NOBODY),
    ("192.0.0.192", NOBODY),
    ("192.0.0.1", NOBODY),
    ("192.0.2.1", NOBODY),
    ("198.51.100.1", NOBODY),
    ("203.0.113.1", NOBODY),
    ("192.88.99.1", NOBODY),
    ("224.0.0.1", NOBODY),
    ("239.255.255.255", NOBODY),
    ("240.0.0.1", NOBODY),
    ("255.255.255.255", NOBODY),
    ("fe80::1", NOBODY),
    ("fe80::a9fe:a9fe", NOBODY),
    ("ff02::1", NOBODY),
    ("fd00:ec2::254", NOBODY),
    ("fd00:ec2::23", NOBODY),
    ("fd20:ce::254", NOBODY),
    ("fd00:c1::a9fe:a9fe", NOBODY),
    ("fd00:42::42", NOBODY),
    ("::127.0.0.1", NOBODY),
    ("::8.8.8.8", NOBODY),
    ("100::1", NOBODY),
    ("2001:db8::1", NOBODY),
    ("3fff::1", NOBODY),
    ("2001:10::1", NOBODY),
    ("5f00::1", NOBODY),
    ("4000::1", NOBODY),
    ("::ffff:169.254.169.254", NOBODY),
    ("::ffff:0.0.0.0", NOBODY),
    ("::ffff:0:169.254.169.254", NOBODY),
    ("64:ff9b::169.254.169.254", NOBODY),
    ("64:ff9b:1::169.254.169.254", NOBODY),
    ("64:ff9b:1:a9fe:a9:fe00::", NOBODY),
    ("64:ff9b:1:a9:fe:a9fe::", NOBODY),
    ("64:ff9b:1:0:a9:fea9:fe00:0", NOBODY),
    ("2002:a9fe:a9fe::1", NOBODY),
    ("2001:0:a9fe:a9fe::1", NOBODY),
    ("2001:0:808:808:0:0:5601:5601", NOBODY),
    ("2606:4700::5efe:169.254.169.254", NOBODY),
]


def reaches(address: str, door: Door) -> bool:
    try:
        Guard(door, Listeners()).resolved("name.example", 443, [address])
    except AddressBlocked:
        return False
    return True


@pytest.mark.parametrize(("address", "who"), TABLE, ids=[address for address, _ in TABLE])
def test_a_name_may_stand_for_an_address_of_the_table(address: str, who: str) -> None:
    assert (reaches(address, Door()), reaches(address, Door(public=True))) == (who != NOBODY, who == BOTH)


@pytest.mark.parametrize(("address", "who"), TABLE, ids=[address for address, _ in TABLE])
def test_an_address_in_digits_is_the_operators_word_unless_nobody_may_have_it(address: str, who: str) -> None:
    for door in (Door(), Door(public=True)):
        guard = Guard(door, Listeners())
        if who == NOBODY:
            with pytest.raises(AddressBlocked, match=f"^blocked address: {literal(address)}, .*: no destination may"):
                guard.connecting(address, 80)
        else:
            guard.connecting(address, 80)


@pytest.mark.parametrize("worse", ["10.0.0.1", "169.254.169.254", "::1"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_one_bad_address_among_several_refuses_the_name(worse: str, first: bool) -> None:
    addresses = [worse, "8.8.8.8"] if first else ["8.8.8.8", "2606:4700::1111", worse]
    with pytest.raises(AddressBlocked, match=f"name.example is {worse}, "):
        Guard(Door(public=True), Listeners()).resolved("name.example", 443, addresses)


def test_a_private_address_of_a_hosted_service_is_refused_with_the_remedy() -> None:
    with pytest.raises(AddressBlocked) as caught:
        Guard(Door(public=True), Listeners()).resolved("hooks.example", 443, ["10.0.0.7"])
    assert str(caught.value) == (
        "blocked address: hooks.example is 10.0.0.7, a private address (RFC 1918); only public ones are allowed here: "
        "correct the name, or write public: false into the destination, then replay"
    )


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "crm.localhost"])
def test_localhost_is_the_operators_word(host: str) -> None:
    assert is_localhost(host)
    Guard(Door(public=True), Listeners()).resolved(host, 80, ["127.0.0.1", "::1"])


@pytest.mark.parametrize("host", ["localhost", "crm.localhost"])
def test_a_name_of_this_machine_counts_as_127_0_0_1_only_if_it_means_that(host: str) -> None:
    guard = Guard(Door(public=True), Listeners())
    guard.resolved(host, 80, ["127.0.0.1", "127.0.0.53", "::1", "::ffff:127.0.0.1"])
    for elsewhere in ("10.0.0.5", "192.168.1.1", "fd00::1"):
        with pytest.raises(AddressBlocked):
            guard.resolved(host, 80, ["127.0.0.1", elsewhere])


@pytest.mark.parametrize("host", ["localhost.example.com", "notlocalhost", "localhos"])
def test_what_only_looks_like_localhost_is_a_name(host: str) -> None:
    assert not is_localhost(host)


@pytest.mark.parametrize("text", ["", "%eth0", "not an address", "1.2.3", "１.1.1.1"])
def test_an_answer_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressBlocked, match="cannot be checked"):
        Guard(Door(), Listeners()).resolved("name.example", 80, [text])


# --- odd spellings ---


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0X7F.1", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("127.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("2852039166", "169.254.169.254"),
        ("0xa9.0xfe.0xa9.0xfe", "169.254.169.254"),
        ("169.254.43518", "169.254.169.254"),
        ("0", "0.0.0.0"),
        ("010.0.0.1", "8.0.0.1"),
        ("1.2.3.4.5", ""),
        ("256.0.0.1", ""),
        ("99999999999", ""),
        ("name.0x", ""),
        ("crm.123", ""),
        ("127.0.0.1", None),
        ("::1", None),
        ("crm.example.com", None),
        ("1e100.net", None),
        ("3com", None),
        ("", None),
    ],
)
def test_an_odd_spelling_is_known_with_the_plain_one(host: str, plain: str | None) -> None:
    assert odd_spelling(host) == plain


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.0.0.1.", "crm.123"])
def test_an_odd_spelling_is_never_connected_to(host: str) -> None:
    with pytest.raises(AddressBlocked, match="odd spelling"):
        Guard(Door(), Listeners()).resolved(host, 80, ["127.0.0.1"])


@given(st.text(max_size=40))
def test_any_text_is_a_host_that_can_be_judged(host: str) -> None:
    plain = odd_spelling(host)
    assert not plain or literal(plain) is not None


@given(st.ip_addresses(v=4), st.sampled_from(["{0}", "{0:#x}", "0{0:o}"]), st.sampled_from(["", "."]))
def test_whatever_the_system_takes_for_an_address_is_one_here(address, form: str, end: str) -> None:
    host = form.format(int(address)) + end
    assert socket.inet_aton(host.rstrip(".")) == address.packed
    assert odd_spelling(host) == str(address)


# --- an IPv4 address inside another ---

PREFIXES = ["::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::", "2606:4700::5efe:0:0", "2606:4700::200:5efe:0:0"]


@given(st.ip_addresses(v=4), st.sampled_from(PREFIXES))
def test_what_holds_an_ipv4_address_reaches_no_further_than_that(address, prefix: str) -> None:
    outer = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
    # There a zero is what other lengths of the prefix leave.
    assume(prefix != "64:ff9b:1::" or address.packed[0])
    assert address in set(embedded(outer))
    assert standing(outer).reach >= standing(address).reach


@given(st.ip_addresses())
def test_every_address_has_a_standing(address) -> None:
    found = standing(address)
    assert isinstance(found.reach, Reach)
    assert found.what


@given(st.ip_addresses())
def test_nothing_is_public_that_python_knows_to_be_private(address) -> None:
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        assert standing(address).reach is not Reach.PUBLIC
    if address.is_private:
        assert standing(address).reach is not Reach.PUBLIC
