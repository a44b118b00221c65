"""Addresses, and the sockets that systemd passes."""

import asyncio
import os
import socket

import pytest

from gateway import sockets
from gateway.server import serve
from gateway.sockets import BindFailed


def test_a_taken_port_is_named_with_its_remedy_before_anything_starts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BindFailed, match=rf"cannot listen on {bind} for admin: .*--admin-bind"):
            asyncio.run(serve_nothing(ingest_bind="127.0.0.1:0", admin_bind=bind))


@pytest.mark.parametrize(
    "bind", ["", "8080", ":8080", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "::1:8080", "[]:1", "a:1 "]
)
def test_an_address_that_is_none_is_refused_with_an_example(bind):
    with pytest.raises(BindFailed, match=r"write --bind host:port, as in 127\.0\.0\.1:8080"):
        asyncio.run(serve_nothing(ingest_bind=bind, admin_bind="127.0.0.1:0"))


@pytest.mark.parametrize("host", ["256.0.0.1", "a..b", "x" * 300, "192.0.2.1"])
def test_a_host_that_is_not_ours_is_named(host):
    with pytest.raises(BindFailed, match=f"cannot listen on {host}:0 for ingest"):
        asyncio.run(serve_nothing(ingest_bind=f"{host}:0", admin_bind="127.0.0.1:0"))


def test_ipv6_addresses_stand_in_brackets():
    assert sockets._host_and_port("ingest", "[::1]:8080") == ("::1", 8080)


def test_localhost_is_found_where_people_look_for_it():
    assert sockets._resolve("localhost", 80)[1][0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {}),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "2"}, {}),
        ({"LISTEN_FDS": "1"}, {"ingest": 3}),
        ({"LISTEN_FDS": "2"}, {"ingest": 3, "admin": 4}),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "admin:ingest"}, {"admin": 3, "ingest": 4}),
        ({"LISTEN_FDS": "1", "LISTEN_FDNAMES": "admin"}, {"admin": 3}),
        ({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "gateway.socket:gateway.socket"}, {"ingest": 3, "admin": 4}),
    ],
)
def test_inherited_sockets_are_told_apart_by_name_or_order(variables, expected):
    environ = {"LISTEN_PID": str(os.getpid()), **variables} if variables else {}
    assert sockets._inherited(environ) == expected


@pytest.mark.parametrize("count", ["two", "", "-1", "9" * 5_000], ids=["a word", "nothing", "below 0", "too long"])
def test_a_broken_listen_fds_is_named(count):
    with pytest.raises(BindFailed, match=f'LISTEN_FDS is "{count}"'):
        sockets._inherited({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})


def test_an_inherited_descriptor_that_does_not_listen_is_refused():
    with socket.socket() as idle, pytest.raises(BindFailed, match="not a listening TCP socket"):
        sockets._adopt("ingest", os.dup(idle.fileno()))


async def serve_nothing(**binds):
    return await serve(ingest=None, admin=None, hooks=None, environ={}, **binds)
