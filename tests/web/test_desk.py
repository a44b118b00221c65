"""The admin listener answers probes at once, and makes the rest when somebody first asks for it."""

import asyncio
import subprocess
import sys

import httpx
import pytest

from gateway.model import Secret
from gateway.web import AdminOptions, desk
from tests.web.desk import HOST, Desk

METRICS_TOKEN = "0d6f1a5be27c4938a1c41b0e92d86f35"


class Watched(Desk):
    """With a token for metrics."""

    options = AdminOptions(hosts={"127.0.0.1"}, metrics_token=Secret(METRICS_TOKEN))


def at_a_desk(folder, scenario):
    """Run it with the listener's application, a client of that, and the desk with the whole one."""

    async def run():
        async with Watched(folder, "") as whole:
            app = desk.Desk(whole.context)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client:
                await scenario(app, client, whole)

    asyncio.run(run())


@pytest.fixture
def made(monkeypatch):
    """How many times the whole application was made."""
    times, make = [], desk._made
    monkeypatch.setattr(desk, "_made", lambda context: times.append(1) or make(context))
    return times


PROBES = [
    ("/healthz", {}),
    ("/healthz", {"host": "10.0.0.7:8081"}),
    ("/readyz", {}),
    ("/readyz", {"accept": "text/html"}),
    ("/metrics", {}),
    ("/metrics", {"authorization": f"Bearer {METRICS_TOKEN}"}),
    ("/metrics", {"authorization": "Bearer x"}),
    ("/metrics", {"host": "evil.example"}),
    ("/metrics", {"host": "evil.example", "accept": "text/html"}),
]


def test_probes_are_answered_as_by_the_whole_application_which_is_not_made_for_them(tmp_path, made):
    async def scenario(_app, client, whole):
        for path, headers in PROBES:
            got, expected = await client.get(path, headers=headers), await whole.client.get(path, headers=headers)
            assert got.status_code == expected.status_code, (path, headers)
            assert {**got.headers, "content-length": ""} == {**expected.headers, "content-length": ""}, (path, headers)
            # The numbers of a process change from one scrape to the next.
            assert got.text == expected.text or (path, got.status_code) == ("/metrics", 200)
        assert not made

    at_a_desk(tmp_path, scenario)


def test_everything_else_is_answered_by_the_whole_application(tmp_path):
    async def scenario(_app, client, whole):
        for path in ("/api/stats", "/", "/login", "/nowhere", "/healthz/", "/api/openapi.json", "/console.css"):
            got, expected = await client.get(path), await whole.client.get(path)
            assert got.status_code == expected.status_code, path
            assert got.headers.get("content-type") == expected.headers.get("content-type"), path

    at_a_desk(tmp_path, scenario)


def test_the_first_requests_share_one_application_even_if_one_of_them_is_given_up(tmp_path, made):
    async def scenario(app, client, _whole):
        given_up = asyncio.create_task(app.whole())
        await asyncio.sleep(0)
        given_up.cancel()
        answers = await asyncio.gather(*(client.get("/api/stats") for _ in range(3)))
        assert {answer.status_code for answer in answers} == {200}
        assert len(made) == 1

    at_a_desk(tmp_path, scenario)


def test_a_start_loads_neither_api_nor_console():
    loaded = (
        "[name for name in sys.modules if name.startswith(('gateway.console', 'gateway.web.api', 'gateway.web.pages'))]"
    )
    code = f"import sys, gateway.cli.run; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
