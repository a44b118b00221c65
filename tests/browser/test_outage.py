"""The whole story of an outage: 10,000 events that a destination refused, found, mended, replayed, and all of them taken."""

import http.client
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.browser.test_console import opened
from tests.sink import Sink, answer

COUNT = 10_000
SENDERS = 8
ROUTES = """\
version: 1
sources: {{xobito: {{preset: xobito, secret: acceptance-secret}}}}
destinations: {{crm: {{url: "{url}/crm"}}}}
routes: [{{name: contacts, match: contact.created, to: crm, body: {{id: "{{{{ attrs.id }}}}"}}}}]
"""


@pytest.fixture
def outage(tmp_path):
    """A gateway whose destination has refused everything, and the sink, which does so still."""
    with Sink(answer(200)) as sink:
        sink.at("/crm", answer(404, b"no such backend"))
        with GatewayProcess(tmp_path, ROUTES.format(url=sink.url)) as gateway:
            with ThreadPoolExecutor(SENDERS) as senders:
                assert sum(senders.map(lambda first: send(gateway, first), range(SENDERS))) == COUNT
            eventually(lambda: dead(gateway) == COUNT, "all of them are given up", 120)
            yield gateway, sink


def send(gateway: GatewayProcess, first: int) -> int:
    """Every eighth event, over one connection; how many were accepted."""
    connection = http.client.HTTPConnection(gateway.ingest, timeout=30)
    accepted = 0
    for number in range(first, COUNT, SENDERS):
        body = distinct(number)
        headers = {"content-type": "application/json", "x-webhook-signature": signature(body)}
        connection.request("POST", "/in/xobito", body, headers)
        response = connection.getresponse()
        response.read()
        accepted += response.status == 202
    connection.close()
    return accepted


def dead(gateway: GatewayProcess) -> int:
    return sum(group["count"] for group in gateway.api("/api/dead")[1]["groups"])


def sent(sink: Sink) -> list[str]:
    return [each.headers["webhook-id"] for each in sink.requests if each.path.startswith("/crm")]


def check_all_were_taken(gateway: GatewayProcess, again: list[str]) -> None:
    assert len(again) == len(set(again)) == COUNT
    [crm] = gateway.api("/api/destinations")[1]
    assert (crm["delivered"], crm["dead"], crm["pending"]) == (COUNT, 0, 0)


@pytest.mark.slow
def test_an_outage_is_found_mended_and_replayed_in_the_console(chromium, outage):
    gateway, sink = outage
    with opened(chromium, gateway.admin) as page:
        page.goto(f"http://{gateway.admin}/?q=data.id%3D4510&state=dead")
        page.get_by_role("link", name="contact.created").click()
        expect(page.get_by_text(re.compile("no such backend")).first).to_be_visible()
        before = len(sent(sink))
        sink.at("/crm", answer(200))
        page.goto(f"http://{gateway.admin}/dead")
        page.locator(".group a").first.click()
        expect(page.get_by_text(re.compile("all 10,000 that match"))).to_be_visible()
        page.get_by_role("button", name="Replay").click()
        page.get_by_label("Reason").fill("the backend is there again")
        page.get_by_role("button", name="Replay 10,000 deliveries").click()
        expect(page.locator(".tally")).to_contain_text("10,000 delivered", timeout=120_000)
    check_all_were_taken(gateway, sent(sink)[before:])


@pytest.mark.slow
def test_an_outage_is_found_mended_and_replayed_in_a_terminal(outage):
    gateway, sink = outage
    assert "404" in gateway.cli("show", gateway.cli("events", "--find", "data.id=4510").stdout.split()[-1]).stdout
    assert re.search(r"10,000\s+crm\s+answered 404", gateway.cli("dead").stdout)
    before = len(sent(sink))
    sink.at("/crm", answer(200))
    done = gateway.cli("replay", "--dead", "--destination", "crm", "--reason", "the backend is there again", "--yes")
    assert "10,000 delivered" in done.stdout
    check_all_were_taken(gateway, sent(sink)[before:])
