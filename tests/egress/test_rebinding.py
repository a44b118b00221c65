"""DNS rebinding with a resolver of one's own: a machine's network with nothing but this test in it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import needs

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--net"]
#: In the new network: a public address, a metadata address, and the only resolver.
PREPARE = (
    "ip link set lo up && ip addr add 8.8.8.8/32 dev lo && ip addr add 169.254.169.254/32 dev lo"
    " && mount --bind resolv.conf /etc/resolv.conf && exec "
)


@pytest.mark.parametrize("user", ["attempt", "httpx"])
@pytest.mark.parametrize("second", ["127.0.0.1", "169.254.169.254"])
def test_a_name_that_changes_its_address_between_two_requests_reaches_nothing_private(
    tmp_path, second: str, user: str
) -> None:
    needs("ip", "iproute2")
    if subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("THIS USER MAY NOT HAVE A NETWORK OF ITS OWN: run it where unshare --user --net works")
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    script = Path(__file__).with_name("rebinding.py")
    command = [*UNSHARE, "sh", "-c", f'{PREPARE} "$@"', "sh", sys.executable, str(script), second, user]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    first, then, *seen = ended.stdout.splitlines()
    assert first == "answered 200"
    assert then.startswith(f"blocked address: hooks.example is {second}, ")
    assert seen == ["asked 2", "requests 1", "connections 1"]
