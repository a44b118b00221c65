"""What proxies noted is read from the end, and nothing that a client sends changes how the proxies' part is read."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.forwarded import MOST_HOPS, MOST_READ, address_of, clients, scheme

V4, V6 = "198.51.100.9", "2001:db8::9"


def lines(*values, name="forwarded"):
    return [(name.encode(), value.encode("latin-1")) for value in values]


def plain(*values):
    return lines(*values, name="x-forwarded-for")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        (plain(V4), [V4]),
        (plain(f"{V4}, {V6}"), [V6, V4]),
        (plain(V4, V6), [V6, V4]),
        (plain(f" {V4}:80 ,[{V6}]:443,[{V6}]"), [V6, V6, V4]),
        (plain(f'"[{V6}]:443"'), [V6]),
        (plain(f"{V4}:_port"), [V4]),
        (plain("::ffff:198.51.100.9"), [V4]),
        (plain("fe80::1%eth0"), ["fe80::1"]),
        (plain("unknown, _hidden, "), [None, None, None]),
        (plain(f"[{V6}]x, [{V6}, {V6}], {V4}:port, {V4}:123456, 1.2.3, {V4}:1:2"), [None] * 7),
        (plain("") + lines(f"for={V4}"), [None]),
        (lines(f"for={V4};proto=https;by=10.0.0.1"), [V4]),
        (lines(f'for="{V4}:80" ; Proto="https",FOR="[{V6}]:443"'), [V6, V4]),
        (lines(f"for={V4}, for=[{V6}]", "for=_hidden;secret=_x, for=unknown"), [None, None, V6, V4]),
        (lines(f'for={V4};note="a, for=6.6.6.6; b", for={V6}'), [V6, V4]),
        (lines(f'for={V4};note="a\\", for=6.6.6.6"'), [V4]),
        (lines(f'for={V4};note="a\\\\\\\\", for={V6}'), [V6, V4]),
        (lines(f'for="x, for={V4}'), [V4, None]),
        (lines(f'for={V4}", for={V4}'), [V4, None]),
        (lines(f"for={V4};for={V4}"), [None]),
        (lines("proto=https", "", ";;"), [None, None, None]),
        (lines(f"for = {V4}", f"for={V4} x", f'for={V4};"'), [None, None, None]),
    ],
)
def test_the_clients_that_proxies_noted(headers, expected):
    assert [found and str(found) for found in clients(headers)] == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], ""),
        (lines("https", name="x-forwarded-proto"), "https"),
        (lines("http, HTTPS", name="x-forwarded-proto"), "https"),
        (lines("https, http", name="x-forwarded-proto"), "http"),
        (lines("https", "http", name="x-forwarded-proto"), "http"),
        (lines('"https"', name="x-forwarded-proto"), "https"),
        (lines('for=192.0.2.1;proto=http, for=198.51.100.2; Proto="https"'), "https"),
        (lines('proto=https;note="a, b;proto=http"'), "https"),
        (lines("proto=https;proto=http"), ""),
        (lines("proto=https") + lines("http", name="x-forwarded-proto"), "http"),
        (lines("proto=https", "for=unknown"), ""),
        (lines("\xff,,", name="x-forwarded-proto"), ""),
    ],
)
def test_the_scheme_that_the_nearest_proxy_noted(headers, expected):
    assert scheme(headers) == expected


addresses = st.ip_addresses()
ports = st.sampled_from(["", ":80", ":65535", ":_p.x-1"])
#: What a parameter may hold in quotes: everything, with a backslash before some of it.
notes = st.text(st.sampled_from('a,;=" \\'), max_size=8).map(
    lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
)


def node(address, port):
    if isinstance(address, IPv4Address):
        return f"{address}{port}"
    return f"[{address}]{port}" if port else str(address)


def element(address, port, note, is_quoted, proto):
    node_ = node(address, port) if port or isinstance(address, IPv4Address) else f"[{address}]"
    return f";note={note};".join([f'for="{node_}"' if is_quoted else f"for={node_}", f"Proto={proto}"])


elements = st.tuples(
    addresses, st.builds(lambda *_: _, ports, notes, st.booleans(), st.sampled_from(["http", "https"]))
)
anything = st.text(st.characters(max_codepoint=255), max_size=40) | st.text(
    st.sampled_from('",;=\\ for1.:[]'), max_size=40
)


def split_anywhere(texts, data):
    """The elements of a list in one or more lines."""
    at = data.draw(st.integers(0, len(texts)))
    return [", ".join(part) for part in (texts[:at], texts[at:]) if part]


@given(st.lists(elements, min_size=1, max_size=6), st.lists(anything, max_size=3), st.data())
def test_what_proxies_write_is_read_whatever_a_client_sent_before_it(written, sent, data):
    noted = [element(address, *rest) for address, rest in written]
    headers = lines(*sent, *split_anywhere(noted, data))
    expected = [address_of(str(address)) for address, _ in reversed(written)]
    assert list(islice(clients(headers), len(written))) == expected
    assert scheme(headers) == written[-1][1][3]


@given(st.lists(st.tuples(addresses, ports), min_size=1, max_size=6), st.lists(anything, max_size=3), st.data())
def test_a_plain_list_of_addresses_is_read_whatever_a_client_sent_before_it(written, sent, data):
    noted = split_anywhere([node(*each) for each in written], data)
    expected = [address_of(str(address)) for address, _ in reversed(written)]
    assert list(islice(clients(plain(*sent, *noted)), len(written))) == expected


names = st.sampled_from([b"x-forwarded-for", b"x-forwarded-proto", b"forwarded", b"via"])


@given(
    st.lists(st.tuples(names, st.binary(max_size=60) | anything.map(lambda text: text.encode("latin-1"))), max_size=5)
)
def test_any_headers_are_read(headers):
    found = list(clients(headers))
    assert all(each is None or isinstance(each, IPv4Address | IPv6Address) for each in found)
    assert isinstance(scheme(headers), str)


@pytest.mark.parametrize(
    "piece", [",", '"', '\\"', "\\", " ", ";", '","', f"for={V4},", "a=b;", '"\\', 'for="a', "\t=,"]
)
def test_so_much_of_a_header_is_read_and_no_more(piece):
    many = piece * (64 * MOST_READ // len(piece))
    for name in ("forwarded", "x-forwarded-for"):
        assert len(list(clients(lines(many, name=name)))) <= MOST_HOPS
        last = f"for={V4}" if name == "forwarded" else V4
        assert next(clients(lines(f"{many}, {last}", name=name))) == ip_address(V4)
    assert isinstance(scheme(lines(many)), str)


def test_an_element_that_is_cut_off_is_not_read_as_an_address():
    headers = plain("9" + V4 + " " * (MOST_READ - len(V4)))
    assert list(clients(headers)) == [None]
