"""The machines in front of the gateway, as the file names them."""

from ipaddress import ip_network

import pytest

from gateway.config import load
from gateway.routing.peers import Peers

PRIVATE, PROXY = ip_network("10.0.0.0/8"), ip_network("2001:db8::7")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("", Peers()),
        ("limits: {}", Peers()),
        ("limits: {share_private: true}", Peers(share_private=True)),
        ("trusted_proxies: 10.0.0.0/8", Peers(trusted=(PRIVATE,))),
        ("trusted_proxies: []", Peers()),
        # The address of a machine with its network's length names the network.
        ('trusted_proxies: [10.1.2.3/8, "${PROXY}"]', Peers(trusted=(PRIVATE, PROXY))),
    ],
)
def test_the_file_says_who_is_trusted_and_who_shares(tmp_path, written, expected):
    path = tmp_path / "routes.yaml"
    path.write_text(f"version: 1\n{written}\n")
    assert load(path, environ={"PROXY": "2001:db8::7"}).peers == expected
