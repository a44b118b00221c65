"""A network of its own for a server, with one way to it that can be cut: what is sent then is lost, as on a wire that is pulled."""

import os
import subprocess
from typing import Self

import pytest

from tests import postgres
from tests.needs import needs, needs_root


class Network:
    """A network namespace. Whoever is outside reaches what listens in it by its address; leaving ``with`` removes it."""

    def __init__(self) -> None:
        needs_root("for a network namespace")
        needs("ip", "iproute2")
        number = os.getpid()
        self._name, self._outer, self._inner = f"gateway-{number}", f"gw{number}o", f"gw{number}i"
        third, fourth = divmod(4 * (number % 0x3FFF), 256)
        self._outside, self.address = (f"10.231.{third}.{fourth + last}" for last in (1, 2))

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Before the command of a program that is to run in it, as the user of the tests' servers."""
        user = postgres.user()
        become = ("setpriv", f"--reuid={user['user']}", f"--regid={user['group']}", "--clear-groups") if user else ()
        return ("ip", "netns", "exec", self._name, *become)

    def __enter__(self) -> Self:
        if subprocess.run(["ip", "netns", "add", self._name], capture_output=True).returncode:
            pytest.skip("ROOT MAY NOT MAKE NETWORKS IN HERE: run it where `ip netns add` works")
        _run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self._name)
        _run("ip", "addr", "add", f"{self._outside}/30", "dev", self._outer)
        _run("ip", "link", "set", self._outer, "up")
        self._within("addr", "add", f"{self.address}/30", "dev", self._inner)
        for device in (self._inner, "lo"):
            self._within("link", "set", device, "up")
        # What comes from where nothing can be sent to is dropped as well.
        _run("ip", "netns", "exec", self._name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter")
        return self

    def __exit__(self, *_: object) -> None:
        # The pair of devices goes with it.
        _run("ip", "netns", "del", self._name)

    def cut(self) -> None:
        """Nothing comes through in either direction, and nobody is told."""
        self._within("route", "add", "blackhole", f"{self._outside}/32")

    def mend(self) -> None:
        self._within("route", "del", "blackhole", f"{self._outside}/32")

    def _within(self, *arguments: str) -> None:
        _run("ip", "-n", self._name, *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
