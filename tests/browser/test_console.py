"""What somebody sees and does at the console, in a real browser in front of a real gateway."""

import http.client
import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.acceptance.harness import GatewayProcess, distinct, eventually, signature
from tests.browser.story import ENVIRON, ROUTES, Story, post
from tests.sink import answer

WIDTHS = (1280, 360)
SCHEMES = ("light", "dark")
TOKEN, READ_TOKEN = "5f0c8a7be1d94263a7c41b0e92d86f35", "c83ad1f6075e49b2e6b0947a2d1f5c8e"


@contextmanager
def opened(browser: Browser, address: str, **options: object) -> Iterator[Page]:
    """A page in a context of its own; nothing may go wrong in it, and nothing may go elsewhere."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda asked: problems.append(asked.url) if not is_own(asked.url, address) else None)
    try:
        yield page
        assert problems == []
    finally:
        context.close()


def is_own(url: str, address: str) -> bool:
    return url.startswith((f"http://{address}/", "data:,"))


def pages(story: Story) -> dict[str, str]:
    return {
        "live": "/",
        "filtered": "/?type=contact.*&state=dead",
        "retried": f"/events/{story.retried}",
        "lead": f"/events/{story.lead}",
        "destinations": "/destinations",
        "dead": "/dead",
        "group": "/dead?destination=invoices",
        "login": "/login",
        "refused": "/refused",
        "routes": "/routes",
        "route": "/routes/contact-to-crm",
        "source": "/sources/xobito",
        "activity": "/activity",
        "playground": "/playground?route=new-lead",
    }


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "name",
    [
        *("live", "filtered", "retried", "lead", "destinations", "dead", "group", "login"),
        *("refused", "routes", "route", "source", "activity", "playground"),
    ],
)
def test_a_page_is_for_everybody_on_any_screen(chromium, story, name, scheme):
    address = story.gateway.admin
    with opened(chromium, address, color_scheme=scheme) as page:
        page.goto(f"http://{address}{pages(story)[name]}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_no_number_is_cut_off_on_a_narrow_screen(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address, viewport={"width": 360, "height": 900}) as page:
        page.goto(f"http://{address}/")
        shown = page.locator(".numbers dd:visible")
        assert shown.count() == 10
        assert shown.evaluate_all("all => all.filter((each) => each.scrollWidth > each.clientWidth).length") == 0


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


def test_the_pages_between_a_click_and_what_it_does_are_for_everybody_too(chromium, story):
    address = story.gateway.admin
    for scheme in SCHEMES:
        with opened(chromium, address, color_scheme=scheme) as page:
            page.goto(f"http://{address}/dead?destination=invoices")
            page.get_by_role("button", name="Discard").click()
            expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"Discard \d+ deliveries\?"))
            assert violations(page) == []
            page.goto(f"http://{address}/destinations")
            for word in ("Pause", "Mute"):
                page.locator("#d-crm summary", has_text=word).click()
                assert violations(page) == []
                page.set_viewport_size({"width": 360, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= 360
                page.locator("#d-crm summary", has_text=word).click()


# --- live ---


def test_a_live_row_appears_and_shows_what_became_of_its_event_without_a_reload(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        expect(page.locator("#pulse-word")).to_have_text("live")
        for number in range(3):
            event_id = story.post("status.created", 40 + number, name=f"Stage {number}")
            row = page.locator(f"#{event_id}")
            expect(row).to_contain_text("status.created")
            expect(row.locator(".chip.s-delivered")).to_have_count(2)


def test_the_stream_can_be_held_and_goes_on_with_what_came_meanwhile(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        expect(page.locator("#pulse-word")).to_have_text("live")
        page.keyboard.press("p")
        event_id = story.post("status.updated", 60, name="Held")
        expect(page.locator("#pulse-word")).to_have_text("paused, 1 new")
        expect(page.locator(f"#{event_id}")).to_have_count(0)
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(f"#{event_id}")).to_be_visible()


def test_a_filter_stands_in_the_address_and_one_that_makes_no_sense_is_explained(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        page.keyboard.press("/")
        page.keyboard.type("data.id=451")
        page.keyboard.press("Enter")
        page.wait_for_url("**/?q=data.id%3D451*")
        expect(page.locator("#rows > li")).to_have_count(1)
        expect(page.locator("#rows > li")).to_have_id(story.lead)
    status, text = get(story.gateway, "/?since=yesterday")
    assert status == 400
    assert "write 30m, 2h, 7d" in text


def test_refused_requests_and_duplicates_stand_among_the_events_with_their_reason(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/?source=xobito")
        refused = page.locator(".row.refused:not(.twice)")
        if refused.count() == 0:  # newer events have pushed it off the page
            pytest.fail("no refused request on the first page")
        expect(refused.first).to_contain_text("401")
        expect(refused.first).to_contain_text("XOBITO_WEBHOOK_SECRET")
        expect(page.locator(".row.twice").first).to_contain_text("duplicate of evt_")
        client, why = refused.first.locator(".client").bounding_box(), refused.first.locator(".why").bounding_box()
        assert client["y"] > why["y"]
        assert (client["x"], client["width"]) == (why["x"], why["width"]), "a line of its own"


def get(gateway: GatewayProcess, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(gateway.admin, timeout=30)
    try:
        connection.request("GET", path, headers={"accept": "text/html", **headers})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


# --- one event ---


def test_an_event_says_of_every_route_which_clause_failed_and_what_the_value_was(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/events/{story.retried}")
        entry = page.locator(".entry", has_text="customer-won")
        expect(entry.locator(".clauses > .failed")).to_contain_text("attrs.status_id: {gte: 3}")
        expect(entry.locator(".clauses > .failed")).to_contain_text("attrs.status_id is 1")
        timeline = page.locator("article.delivery", has_text="contact-to-crm").locator(".timeline").first
        expect(timeline).to_contain_text("503")
        expect(timeline).to_contain_text(re.compile("next attempt in|due now|held: circuit open"))
        assert ENVIRON["CRM_TOKEN"] not in page.content()


def test_a_slack_message_is_shown_as_slack_shows_it(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/events/{story.lead}")
        message = page.locator(".c-slack .said")
        expect(message).to_contain_text("👋 New lead Ada Lovelace")
        expect(message.locator("strong", has_text="Ada Lovelace")).to_be_visible()


HOSTILE = '<script>window.taken=1</script><img src=x onerror="window.taken=1">"><b>&amp;\u202egnp.exe'


def test_what_is_hostile_in_an_event_is_text_and_its_page_stays_small(chromium, story):
    gateway, deep = story.gateway, json.loads("[" * 120 + "]" * 120)
    event_id = story.post(
        "contact.created", 666, type="lead", firstname=HOSTILE, lastname="x" * 900_000, deep=deep, **{HOSTILE: HOSTILE}
    )
    gateway.settled(event_id)
    status, text = get(gateway, f"/events/{event_id}")
    assert status == 200
    assert len(text) < 400_000
    with opened(chromium, gateway.admin) as page:
        page.goto(f"http://{gateway.admin}/events/{event_id}")
        expect(page.locator("#payload .unseen").first).to_have_text("U+202E")
        expect(page.get_by_role("link", name="Show all as JSON")).to_have_attribute("href", f"/api/events/{event_id}")
        assert violations(page) == []
        assert page.evaluate("window.taken") is None
        assert page.locator("b", has_text="&amp;").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


# --- doing something ---


def attempts(story: Story, event_id: str, destination: str) -> int:
    return next(each["attempts"] for each in story.gateway.deliveries(event_id) if each["destination"] == destination)


def test_a_replay_needs_nothing_but_the_keyboard(chromium, story):
    address, before = story.gateway.admin, attempts(story, story.lead, "slack-leads")
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/?q=data.id%3D451")
        for key in ("j", "x", "r"):
            page.keyboard.press(key)
        page.wait_for_url("**/replay?*")
        expect(page.get_by_role("heading", level=1)).to_have_text("Replay 2 deliveries?")
        page.keyboard.press("Enter")
        page.wait_for_url("**/activity/act_*")
    eventually(lambda: attempts(story, story.lead, "slack-leads") == before + 1, "it is sent again")


def test_without_a_script_pages_can_be_read_and_a_replay_is_a_form(chromium, story):
    address, before = story.gateway.admin, attempts(story, story.lead, "slack-leads")
    with opened(chromium, address, java_script_enabled=False) as page:
        for path in pages(story).values():
            page.goto(f"http://{address}{path}")
            expect(page.locator("main")).not_to_be_empty()
            assert page.locator(".scripted:visible").count() == 0
        page.goto(f"http://{address}/")
        page.get_by_role("link", name="contact.created").first.click()
        page.goto(f"http://{address}/events/{story.lead}")
        expect(page.locator("#why-title")).to_be_visible()
        page.get_by_role("button", name="Replay all").click()
        page.get_by_role("button", name="Replay 2 deliveries").click()
        page.wait_for_url(f"**/events/{story.lead}?did=replay")
        expect(page.get_by_text("Replay started.")).to_be_visible()
    eventually(lambda: attempts(story, story.lead, "slack-leads") == before + 1, "it is sent again")


def test_a_replay_that_is_clicked_twice_is_one(chromium, story):
    address, before = story.gateway.admin, attempts(story, story.lead, "slack-leads")
    with opened(chromium, address, java_script_enabled=False) as page:
        page.goto(f"http://{address}/events/{story.lead}")
        page.get_by_role("button", name="Replay all").click()
        key = page.locator("input[name=key]").get_attribute("value")
        page.get_by_role("button", name="Replay 2 deliveries").click()
        again = page.request.post(
            f"http://{address}/replay", form={"ids": story.lead, "key": key, "step": "do"}, max_redirects=0
        )
        assert again.status == 303
    eventually(lambda: attempts(story, story.lead, "slack-leads") == before + 1, "it is sent again")
    time.sleep(0.3)
    assert attempts(story, story.lead, "slack-leads") == before + 1


def test_the_way_back_from_a_replay_leads_to_the_page_that_asked(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/events/{story.lead}")
        page.get_by_role("button", name="Replay all").click()
        page.get_by_role("link", name="contact.created").first.click()
        page.wait_for_url(f"**/events/{story.lead}*")
        page.go_back()
        expect(page.get_by_role("heading", level=1)).to_have_text("Replay 2 deliveries?")
        page.reload()
        expect(page.get_by_role("button", name="Replay 2 deliveries")).to_be_focused()


def test_a_destination_is_paused_and_resumed_with_a_reason(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/destinations")
        place = page.locator("#d-slack-ops")
        place.locator("summary", has_text="Pause").click()
        place.get_by_label("Reason").first.fill("their channel moves")
        place.get_by_label("Your name").first.fill("mira")
        place.get_by_role("button", name="Pause slack-ops").click()
        expect(place).to_contain_text("Paused by mira")
        expect(place).to_contain_text("their channel moves")
        place.get_by_role("button", name="Resume").click()
        expect(place).not_to_contain_text("Paused by")


def test_all_dead_letters_of_a_cause_are_replayed_with_progress(chromium, story):
    gateway = story.gateway
    with opened(chromium, gateway.admin) as page:
        page.goto(f"http://{gateway.admin}/dead")
        page.locator(".group a").first.click()
        expect(page.get_by_text(re.compile("all 12 that match"))).to_be_visible()
        story.sink.at("/invoices", answer(200))
        reasons = page.locator(".dead-row .why:visible")
        assert reasons.evaluate_all("all => Math.max(...all.map((each) => each.clientHeight))") < 30
        page.get_by_role("button", name="Replay").click()
        first = page.locator(".sample").first
        expect(first.get_by_role("link", name="contact.deleted")).to_be_visible()
        expect(first).to_contain_text("the contact has open invoices")
        page.get_by_label("Pace").select_option("5/s")
        page.get_by_label("Reason").fill("the invoices are closed")
        page.get_by_role("button", name="Replay 12 deliveries").click()
        page.wait_for_url("**/activity/act_*")
        expect(page.get_by_role("button", name="Stop")).to_be_visible()
        # Nobody reloads the page.
        expect(page.locator(".tally")).to_contain_text("12 delivered", timeout=60_000)
        expect(page.locator(".tally")).to_contain_text("all sent")
        expect(page.get_by_role("button", name="Stop")).to_have_count(0)
        expect(page.locator(".tally")).to_contain_text("the invoices are closed")
        page.goto(f"http://{gateway.admin}/dead")
        expect(page.get_by_text("No dead letters.")).to_be_visible()


def test_of_many_events_a_second_some_are_shown_and_the_others_counted(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        expect(page.locator("#pulse-word")).to_have_text("live")
        burst(story.gateway, 200)
        expect(page.locator("#skipped")).to_have_text(re.compile(r"… and [\d,]+ more"))


def burst(gateway: GatewayProcess, count: int) -> None:
    """Events that all wait in front of the gateway before it reads the first of them."""
    gateway.process.send_signal(signal.SIGSTOP)
    try:
        host, _, port = gateway.ingest.rpartition(":")
        connections = [socket.create_connection((host, int(port)), timeout=30) for _ in range(count)]
        for number, connection in enumerate(connections):
            body = distinct(5000 + number, "status.deleted")
            head = f"POST /in/xobito HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            signed = f"X-Webhook-Signature: {signature(body)}\r\nContent-Type: application/json\r\n\r\n"
            connection.sendall(f"{head}{signed}".encode() + body)
    finally:
        gateway.process.send_signal(signal.SIGCONT)
    for connection in connections:
        with connection:
            assert connection.recv(12) == b"HTTP/1.1 202"


# --- who may ---


def test_somebody_logs_in_and_a_reader_is_offered_nothing_to_do(chromium, tmp_path):
    environ = {**ENVIRON, "GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_READ_TOKEN": READ_TOKEN}
    with GatewayProcess(tmp_path, ROUTES.format(sink="http://127.0.0.1:9"), environ=environ) as gateway:
        event_id = post(gateway, "status.created", 1)
        with opened(chromium, gateway.admin, java_script_enabled=False) as page:
            page.goto(f"http://{gateway.admin}/events/{event_id}")
            page.wait_for_url(re.compile(r"/login\?to="))
            page.get_by_label("Token").fill(READ_TOKEN)
            page.get_by_role("button", name="Sign in").click()
            page.wait_for_url(f"**/events/{event_id}")
            expect(page.get_by_text("read only")).to_be_visible()
            assert page.get_by_role("button", name=re.compile("Replay|Discard|Pause")).count() == 0
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url("**/login")
        assert "Wrong token" in login(gateway, "wrong")[1]
        assert TOKEN not in login(gateway, TOKEN + "x")[1]


def login(gateway: GatewayProcess, token: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(gateway.admin, timeout=30)
    try:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
        connection.request("POST", "/login", f"token={token}", headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_an_empty_gateway_says_where_events_go_and_a_refused_file_what_is_wrong(chromium, tmp_path):
    routes = ROUTES.format(sink="http://127.0.0.1:9")
    with GatewayProcess(tmp_path, routes, environ=ENVIRON) as gateway:
        with opened(chromium, gateway.admin) as page:
            page.goto(f"http://{gateway.admin}/")
            expect(page.locator("#empty")).to_contain_text(f"http://{gateway.ingest}/in/xobito")
            expect(page.locator("#empty")).to_contain_text("gateway send contact.created")
            assert violations(page) == []
            post(gateway, "status.created", 1)
            # The first event replaces the text.
            expect(page.locator("#rows > li")).to_have_count(1)
            expect(page.locator("#empty")).to_have_count(0)
        (tmp_path / "routes.yaml").write_text(routes.replace("where: {attrs.type: lead}", "whre: {attrs.type: lead}"))
        assert gateway.api("/api/reload", {})[0] == 422
        for scheme in SCHEMES:
            with opened(chromium, gateway.admin, color_scheme=scheme) as page:
                page.goto(f"http://{gateway.admin}/destinations")
                expect(page.locator(".banner.bad")).to_contain_text("routes.yaml:20:5")
                assert violations(page) == []


# --- above the fold, on any screen ---


@pytest.mark.parametrize(("width", "most"), [(1280, 420), (390, 700)])
def test_rows_begin_above_the_fold(chromium, story, width, most):
    address = story.gateway.admin
    with opened(chromium, address, viewport={"width": width, "height": 900}) as page:
        page.goto(f"http://{address}/")
        # In one step: the stream may replace a row at any time.
        assert page.evaluate("document.querySelector('#rows > li').getBoundingClientRect().y") < most


def test_a_row_says_what_its_event_is_about_and_so_does_the_search(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/?q=Ada+Lovelace")
        expect(page.locator(f"#{story.lead} .topic")).to_have_text("Ada Lovelace · lead · +14155551234")


def test_on_a_phone_the_attempts_come_before_the_headers(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address, viewport={"width": 390, "height": 900}) as page:
        page.goto(f"http://{address}/events/{story.retried}")
        delivery = page.locator(".delivery", has_text="contact-to-crm")
        attempts, request = delivery.locator(".timeline").first, delivery.locator(".sends")
        assert attempts.bounding_box()["y"] < request.bounding_box()["y"]


def test_a_popover_stays_on_the_page(chromium, story):
    address = story.gateway.admin
    for width in (390, 800, 1280):
        with opened(chromium, address, viewport={"width": width, "height": 700}) as page:
            page.goto(f"http://{address}/destinations")
            for name in ("crm", "archive"):
                for word in ("Pause", "Mute"):
                    page.locator(f"#d-{name} summary", has_text=word).click()
                    box = page.locator(f"#d-{name} .act[open] .hold").bounding_box()
                    assert box["x"] >= 0
                    assert box["x"] + box["width"] <= width
                    page.keyboard.press("Escape")
                    page.locator(f"#d-{name} summary", has_text=word).press("Enter")


def test_what_waits_and_what_is_overdue_are_links(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        page.locator("#numbers a", has_text="1").first.click()
        expect(page).to_have_url(f"http://{address}/?state=pending")
        expect(page.locator(f"#{story.retried}")).to_be_visible()


# --- refused requests ---


def test_a_refused_request_appears_without_a_reload(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/")
        expect(page.locator("#pulse-word")).to_have_text("live")
        before = page.locator(".row.refused").count()
        body = json.dumps({"event": "contact.created", "data": {"id": 77}}).encode()
        assert story.gateway.post(body, headers={"x-webhook-signature": signature(body, "a third secret")})[0] == 401
        expect(page.locator(".row.refused")).to_have_count(before + 1)
        expect(page.locator(".row.refused").first).to_contain_text("Its secret at Xobito differs")


# --- the playground ---


def test_the_playground_follows_what_is_written_and_sends_only_when_told(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        page.goto(f"http://{address}/playground?route=new-lead")
        expect(page.locator("#result .chat")).to_contain_text("John")

        def sent() -> list[str]:
            return [each.path for each in story.sink.requests if each.path == "/leads"]

        before = sent()
        page.locator("#entry").fill(
            'name: mine\nmatch: contact.created\nto: slack-leads\ntext: "Hi *{{ attrs.lastname }}*"\n'
        )
        expect(page.locator("#result .chat")).to_contain_text("Hi Doe")
        page.locator("#entry").fill("name: mine\nto: slack-leds\n")
        expect(page.locator("#result")).to_contain_text('did you mean "slack-leads"?')
        page.locator("#entry").fill(
            "name: mine\nmatch: contact.created\nwhere: {attrs.type: customer}\nto: slack-leads\ntext: hi\n"
        )
        expect(page.locator("#result .failed").first).to_contain_text('attrs.type is "lead"')
        page.locator("#payload").fill(page.locator("#payload").input_value().replace('"lead"', '"customer"'))
        expect(page.locator("#result .chat")).to_contain_text("hi")
        page.locator("select[name=kind]").select_option("telegram")
        expect(page.locator("#result .chat figcaption")).to_have_text("Telegram preview")
        assert violations(page) == []
        page.locator("select[name=kind]").select_option("")
        expect(page.locator("#result .chat figcaption")).to_have_text("Slack preview")
        assert sent() == before
        page.get_by_role("button", name="Send …").click()
        expect(page.locator("#result")).to_contain_text("Send this to slack-leads?")
        assert sent() == before
        page.get_by_role("button", name="Send to slack-leads").click()
        expect(page.locator("#result")).to_contain_text("slack-leads accepted it")
        assert sent() == [*before, "/leads"]
        page.goto(f"http://{address}/activity")
        expect(page.locator(".deed").first).to_contain_text("from the playground: contact.created by mine")


def test_the_playground_works_without_a_script(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address, java_script_enabled=False) as page:
        page.goto(f"http://{address}/playground")
        page.locator("select[name=sample]").select_option("xobito/status.created")
        page.get_by_role("button", name="Load").click()
        page.locator("#entry").fill('name: mine\nto: slack-ops\ntext: "{{ attrs.name }} is new"\n')
        page.get_by_role("button", name="Show").click()
        expect(page.locator("#result .chat")).to_contain_text("is new")


def test_the_pages_are_reached_by_keyboard(chromium, story):
    address = story.gateway.admin
    with opened(chromium, address) as page:
        for key, title in (("f", "Refused requests"), ("r", "Routes"), ("a", "Activity"), ("p", "Playground")):
            page.goto(f"http://{address}/destinations")
            page.keyboard.press("g")
            page.keyboard.press(key)
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
        page.goto(f"http://{address}/routes")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("xobito")
