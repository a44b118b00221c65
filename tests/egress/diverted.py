"""A name server whose answers are scripted, and connections that end at this machine wherever they lead."""

import socket
from collections.abc import Iterator, Sequence

import pycurl
import pytest

import gateway.egress.transfer as transfer_module
from gateway.egress.transfer import Lent, Transfer


class Names:
    """A name server whose answers are scripted, the last one repeating, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers: list[Sequence[str] | Exception] = []

    def answer(self, *answers: Sequence[str] | Exception) -> None:
        self._answers = list(answers)

    def getaddrinfo(self, host: str, port: int, *_: object, **__: object) -> list:
        self.asked.append(host)
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(addresses, Exception):
            raise addresses
        return [
            (socket.AF_INET6, 1, 6, "", (each, port, 0, 0)) if ":" in each else (socket.AF_INET, 1, 6, "", (each, port))
            for each in addresses
        ]


class Diverted:
    """The addresses that connections were made to; they end at ``port`` of this machine."""

    def __init__(self) -> None:
        self.made: list[tuple] = []
        self.port = 1

    def connecting(self, _family: int, _kind: int, _protocol: int, address: tuple[str, int]) -> Lent:
        self.made.append(tuple(address))
        here = socket.socket()
        here.connect(("127.0.0.1", self.port))
        return Lent(here.detach())


def scripted_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found


def diverted_connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Diverted]:
    """Whatever is connected to, it is this machine that answers: nothing goes anywhere else."""
    diverted = Diverted()
    set_up = Transfer._set_up

    def set_up_as_connected(transfer: Transfer, *more: object) -> None:
        def made(descriptor: int, purpose: int) -> int:
            transfer._made_socket(descriptor, purpose)
            return int(pycurl.SOCKOPT_ALREADY_CONNECTED)

        set_up(transfer, *more)
        transfer.curl.setopt(pycurl.SOCKOPTFUNCTION, made)

    monkeypatch.setattr(Transfer, "_set_up", set_up_as_connected)
    monkeypatch.setattr(transfer_module, "connecting", diverted.connecting)
    yield diverted
