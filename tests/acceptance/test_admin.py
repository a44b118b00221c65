"""The admin listener: probes without a token, everything else only for whom it is meant."""

import os
import socket
import subprocess
import sys

import pytest

from tests.acceptance.harness import GatewayProcess, distinct

ROUTES = "version: 1\nsources: {xobito: {preset: xobito, secret: acceptance-secret}}\n"
TOKEN = "5f0c8a7be1d94263a7c41b0e92d86f35"
SCRAPE = "e07b5c19a2f84d36b8d1470ec5932fa6"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    environ = {"GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_METRICS_TOKEN": SCRAPE, "GATEWAY_ADMIN_HOSTS": "ops.example"}
    with GatewayProcess(tmp_path_factory.mktemp("admin"), ROUTES, environ=environ) as gateway:
        gateway.post(distinct(1))
        yield gateway


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_need_no_token_and_no_known_host(gateway, path):
    status, answer = gateway.api(path, headers={"host": "10.1.2.3:8081"})
    assert (status, answer["status"]) == (200, "ok" if path == "/healthz" else "ready")


@pytest.mark.parametrize("path", ["/api/events", "/api/deliveries?state=dead", "/api/events/evt_x"])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}, {"authorization": "Bearer \xff"}]
)
def test_the_api_needs_the_token(gateway, path, headers):
    status, answer = gateway.api(path, headers=headers)
    assert status == 401
    assert TOKEN not in str(answer)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "", "127.0.0.1.evil.example", "[::2]:1"])
def test_a_foreign_host_is_refused(gateway, host):
    assert gateway.api("/api/events", headers={**BEARER, "host": host})[0] in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:9999", "127.0.0.1", "[::1]:8081", "OPS.example:443"])
def test_loopback_and_named_hosts_are_known(gateway, host):
    status, page = gateway.api("/api/events", headers={**BEARER, "host": host})
    assert (status, len(page["events"])) == (200, 1)


def test_a_page_of_another_site_cannot_replay(gateway):
    [row] = gateway.api("/api/events", headers=BEARER)[1]["events"]
    foreign = {**BEARER, "origin": "https://evil.example"}
    assert gateway.api("/api/replay", {"ids": [row["id"]]}, headers=foreign)[0] == 403
    own = {**BEARER, "origin": f"http://{gateway.admin}"}
    status, answer = gateway.api("/api/replay", {"ids": [row["id"]]}, headers=own)
    assert (status, answer["replayed"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/deliveries?state=nonsense", None, 400),
        ("/api/deliveries?since=yesterday", None, 400),
        ("/api/events?limit=many", None, 400),
        ("/api/events/evt_nothing", None, 404),
        ("/api/replay", {"ids": ["dlv_nothing"]}, 404),
        ("/api/replay", {"ids": "dlv_nothing"}, 400),
        ("/api/replay", {}, 400),
        ("/api/replay", [], 400),
        ("/nowhere", None, 404),
    ],
)
def test_what_makes_no_sense_is_a_clear_error(gateway, path, body, status):
    answered, answer = gateway.api(path, body, headers=BEARER)
    assert answered == status
    assert answer["error"]


def test_metrics_have_a_token_of_their_own(gateway):
    assert gateway.api("/metrics")[0] == 401
    assert gateway.api("/metrics", headers=BEARER)[0] == 401
    status, text = gateway.api("/metrics", headers={"authorization": f"Bearer {SCRAPE}"})
    assert status == 200
    assert 'gateway_events_received_total{outcome="accepted",reason="",source="xobito"} 1.0' in text


def test_the_command_line_sends_the_token(gateway):
    assert "contact.created" in gateway.verb("events").stdout


def test_without_its_token_the_command_line_says_which_one_is_missing(gateway):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "events", "--url", f"http://{gateway.admin}"],
        capture_output=True, text=True, timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
    )  # fmt: skip
    assert done.returncode == 1
    assert "GATEWAY_ADMIN_TOKEN" in done.stderr


def start(folder, *arguments, wrapper=(), **options):
    (folder / "routes.yaml").write_text(ROUTES)
    return subprocess.run(
        [*wrapper, sys.executable, "-m", "gateway", "serve", "--bind", "127.0.0.1:0", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60,
        env={name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}, **options,
    )  # fmt: skip


def test_a_token_in_the_env_file_counts(tmp_path):
    (tmp_path / "env").write_text(f"GATEWAY_ADMIN_TOKEN={TOKEN}\n")
    with GatewayProcess(tmp_path, ROUTES, options=("--env-file", str(tmp_path / "env"))) as gateway:
        assert gateway.api("/api/events")[0] == 401
        assert gateway.api("/api/events", headers=BEARER)[0] == 200


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "GATEWAY_ADMIN_TOKEN=short",
            "GATEWAY_ADMIN_TOKEN has at most 25 bits of entropy, and 128 are needed: make one",
        ),
        ("GATEWAY_ADMIN_TOKEN=", "set GATEWAY_ADMIN_TOKEN (openssl rand -hex 16), or bind 127.0.0.1"),
        (f"GATEWAY_READ_TOKEN={TOKEN}", "set GATEWAY_ADMIN_TOKEN (openssl rand -hex 16), or bind 127.0.0.1"),
        (
            f"GATEWAY_ADMIN_TOKEN={TOKEN}\nGATEWAY_METRICS_TOKEN={'ab' * 20}",
            "GATEWAY_METRICS_TOKEN repeats itself: make one",
        ),
    ],
)
def test_a_token_that_can_be_guessed_or_is_missing_does_not_start(tmp_path, line, said):
    (tmp_path / "env").write_text(f"{line}\n")
    done = start(tmp_path, "--admin-bind", "0.0.0.0:0", "--env-file", "env")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="admin")
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_socket_from_systemd_is_held_to_the_same_rule(tmp_path):
    with socket.create_server(("0.0.0.0", 0)) as listening:
        wrapper = (sys.executable, "-c", AS_SYSTEMD, str(listening.fileno()))
        done = start(tmp_path, wrapper=wrapper, pass_fds=(listening.fileno(),))
    assert done.returncode == 1
    assert "GATEWAY_ADMIN_TOKEN" in done.stderr


@pytest.mark.parametrize(("name", "said"), [("missing", "missing"), (".", "directory")])
def test_an_env_file_that_cannot_be_read_is_an_error(tmp_path, name, said):
    done = start(tmp_path, "--env-file", name)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
