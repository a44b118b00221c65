"""The running gateway does not send to itself, nor where no destination may be."""

import signal

import pytest

from tests.acceptance.harness import SECRET, GatewayProcess, distinct, eventually
from tests.sink import Sink


def routes(url: str) -> str:
    return f"""version: 1
sources: {{xobito: {{preset: xobito, secret: {SECRET}}}}}
destinations: {{crm: {{url: "{url}"}}}}
routes: [{{name: all, to: crm, text: hi}}]
"""


@pytest.mark.parametrize("listener", ["ingest", "admin"])
def test_a_destination_that_is_the_gateway_itself_is_blocked_once_and_for_all(tmp_path, listener):
    with GatewayProcess(tmp_path, routes("http://127.0.0.1:9/")) as gateway:
        address = getattr(gateway, listener)
        (tmp_path / "routes.yaml").write_text(routes(f"http://localhost:{address.rpartition(':')[2]}/in/xobito"))
        gateway.process.send_signal(signal.SIGHUP)
        eventually(lambda: gateway.log_lines("config.reloaded"), "the file is read again")
        status, answer = gateway.post(distinct(1))
        assert status == 202
        [delivery] = gateway.settled(answer["id"])
        assert (delivery["state"], delivery["attempts"]) == ("dead", 1)
        told = gateway.verb("show", answer["id"]).stdout
    assert "blocked address: " in told
    assert "is the gateway itself" in told


def test_a_metadata_address_is_refused_when_the_file_is_read(tmp_path):
    (tmp_path / "routes.yaml").write_text(routes("http://169.254.169.254/latest/meta-data"))
    done = GatewayProcess(tmp_path).verb("check", check=False)
    assert done.returncode == 1
    assert "169.254.169.254 is not allowed: it is a link-local address, where clouds keep their metadata" in done.stdout


def test_a_service_next_door_is_reached(tmp_path):
    with Sink() as sink, GatewayProcess(tmp_path, routes(sink.url)) as gateway:
        gateway.post(distinct(1))
        assert len(sink.wait_for(1)) == 1
