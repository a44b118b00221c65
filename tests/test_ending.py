"""A server of the tests leaves no connection open, however short a time before its end it was accepted."""

import socket
from contextlib import suppress

import pytest

from tests.relay import Relay
from tests.sink import Sink
from tests.smtp import MailServer


class Silent(Relay):
    async def serve(self, reader, writer):
        await reader.read()


@pytest.mark.parametrize("server", [Sink, MailServer, Silent])
def test_a_connection_that_was_just_accepted_is_closed_with_its_server(server):
    for _ in range(10):
        with server() as running:
            clients = [socket.create_connection(("127.0.0.1", running.port), timeout=60) for _ in range(3)]
        for client in clients:
            # Left open, it would wait for more.
            with client, suppress(ConnectionError):
                while client.recv(1024):
                    pass
