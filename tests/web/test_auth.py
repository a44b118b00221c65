"""Who may do what at the admin listener, by token, by cookie, by host, by origin."""

import asyncio

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import telemetry
from gateway.errors import StoreUnavailable
from gateway.model import Secret
from gateway.store.cluster import MOST_SESSIONS, Alone
from gateway.web import AdminOptions
from gateway.web.sessions import FREE_TRIES, MOST_ADDRESSES, SESSION_S, TRUSTED_S, Sessions, Tries
from tests.store.given import Clock
from tests.web.desk import HOST, READ_TOKEN, TOKEN, Desk, GuardedDesk
from tests.world import story

BEARER = f"Bearer {TOKEN}"
READER = f"Bearer {READ_TOKEN}"
NOW = 1_000_000.0


@pytest.fixture
def clock():
    return Clock()


@story
async def test_without_a_token_whoever_reaches_the_listener_may_do_everything(tmp_path):
    async with Desk(tmp_path, "") as desk:
        assert (await desk.ask("/api/events"))[0] == 200
        assert (await desk.ask("/api/reload", {}))[0] == 200


class ReadingDesk(Desk):
    """One with the reading token only."""

    options = AdminOptions(hosts={"127.0.0.1"}, read_token=Secret(READ_TOKEN))


@story
async def test_with_the_reading_token_alone_everybody_only_reads(tmp_path):
    async with ReadingDesk(tmp_path, "") as desk:
        for authorization in ("", READER):
            assert (await desk.ask("/api/events", authorization=authorization))[0] == 200
            status, answer = await desk.ask("/api/reload", {}, authorization=authorization)
            assert (status, answer["error"]) == (
                403,
                "only GATEWAY_READ_TOKEN is set, so nobody can change anything: set GATEWAY_ADMIN_TOKEN, too",
            )


@story
async def test_the_reading_token_only_reads(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        assert (await desk.ask("/api/events", authorization=READER))[0] == 200
        status, answer = await desk.ask("/api/reload", {}, authorization=READER)
        assert (status, answer["error"]) == (403, "GATEWAY_READ_TOKEN is read-only: use GATEWAY_ADMIN_TOKEN")
        assert (await desk.ask("/api/reload", {}, authorization=BEARER))[0] == 200


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Bearer wrong", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x"]
)
def test_a_wrong_token_opens_nothing(tmp_path, authorization):
    @story
    async def scenario():
        async with GuardedDesk(tmp_path, "") as desk:
            for path, body in (("/api/events", None), ("/api/reload", {}), ("/api/openapi.json", None)):
                status, answer = await desk.ask(path, body, authorization=authorization)
                assert status == 401
                assert TOKEN not in str(answer)

    scenario()


def test_a_wrong_token_is_logged_without_it(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(telemetry, "log", lambda name, **fields: said.append((name, fields)))

    @story
    async def scenario():
        async with GuardedDesk(tmp_path, "") as desk:
            await desk.ask("/api/events")
            assert said == [], "who shows nothing has denied nothing"
            await desk.ask("/api/events", authorization="Bearer guessed-token")
            await desk.client.post("/login", data={"token": "guessed-token"})

    scenario()
    assert [name for name, _ in said] == ["admin.denied", "admin.denied"]
    assert "guessed" not in str(said)


# --- the console's cookie ---


async def login(desk: Desk, token: str, to: str = "/"):
    return await desk.client.post("/login", data={"token": token, "to": to}, headers={"origin": f"http://{HOST}"})


@story
async def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        answer = await login(desk, TOKEN, "/events/evt_1?x=1")
        assert (answer.status_code, answer.headers["location"]) == (303, "/events/evt_1?x=1")
        said = answer.headers["set-cookie"].lower()
        assert all(part in said for part in ("httponly", "samesite=strict", "path=/", "max-age=43200"))
        assert TOKEN not in answer.headers["set-cookie"]
        assert (await desk.ask("/api/events"))[0] == 200
        assert (await desk.ask("/api/reload", {}))[0] == 200


@story
async def test_who_logs_in_with_the_reading_token_only_reads(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        await login(desk, READ_TOKEN)
        assert (await desk.ask("/api/events"))[0] == 200
        assert (await desk.ask("/api/reload", {}))[0] == 403


@story
async def test_a_login_with_a_wrong_token_is_a_page_that_says_so(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        answer = await login(desk, "wrong")
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert "Wrong token." in answer.text


@story
async def test_a_body_that_is_too_large_is_413_before_it_is_in_memory(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        sent = []

        async def form(size):
            for _ in range(size // 1000):
                sent.append(1000)
                yield b"token=".ljust(1000, b"x")

        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await desk.client.post("/login", content=form(10_000_000), headers=kind)
        assert answer.status_code == 413
        assert sum(sent) <= 10_000
        assert (await login(desk, "x" * 8000)).status_code == 401
        body = {"ids": ["dlv_" + "0" * 36] * 10_000}
        assert (await desk.ask("/api/replay", body, authorization=f"Bearer {TOKEN}"))[0] == 413
        body = {"ids": ["dlv_" + "0" * 36] * 1000, "dry_run": True}
        assert (await desk.ask("/api/replay", body, authorization=f"Bearer {TOKEN}"))[0] != 413


@story
async def test_a_login_ends_after_twelve_hours(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        await login(desk, TOKEN)
        desk.clock.now += 12 * 3600 - 1
        assert (await desk.ask("/api/events"))[0] == 200
        desk.clock.now += 2
        assert (await desk.ask("/api/events"))[0] == 401


@story
async def test_a_logout_ends_the_session_for_whoever_has_its_cookie_and_no_other(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        await login(desk, TOKEN)
        [copied] = desk.client.cookies.items()
        desk.client.cookies.clear()
        await login(desk, TOKEN)
        await desk.client.post("/logout")
        assert (await desk.ask("/api/events"))[0] == 401
        assert (await desk.ask("/api/events", cookie="=".join(copied)))[0] == 200
        await desk.client.post("/logout", headers={"cookie": "=".join(copied)})
        assert (await desk.ask("/api/events", cookie="=".join(copied)))[0] == 401


@story
async def test_the_cookie_is_named_after_the_port_so_that_two_gateways_on_a_host_do_not_end_each_others_sessions(
    tmp_path,
):
    async with GuardedDesk(tmp_path, "") as desk:
        assert (await login(desk, TOKEN)).headers["set-cookie"].startswith("gateway_session_8081=")


@pytest.mark.parametrize(
    ("url", "is_secure"), [("https://ops.example.com", True), ("http://ops.example.com", False), ("", False)]
)
def test_the_cookie_goes_through_tls_only_where_the_console_is_reached_by_it(tmp_path, url, is_secure):
    @story
    async def scenario():
        async with GuardedDesk(tmp_path, f"console_url: {url}\n" if url else "") as desk:
            said = (await login(desk, TOKEN)).headers["set-cookie"].lower()
            assert ("; secure" in said) == is_secure
            assert ("; secure" in (await desk.client.post("/logout")).headers["set-cookie"].lower()) == is_secure

    scenario()


@story
async def test_what_a_proxy_says_about_tls_counts_through_the_scheme(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        answer = await desk.client.post(f"https://{HOST}/login", data={"token": TOKEN})
        assert "; secure" in answer.headers["set-cookie"].lower()


# --- guessing ---


@story
async def test_an_address_that_guesses_has_to_wait_longer_each_time_and_others_do_not(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        waits = []
        for _ in range(12):
            while (answer := await login(desk, "wrong")).status_code == 429:
                waits.append(int(answer.headers["retry-after"]))
                assert (await login(desk, TOKEN)).status_code == 429, "nothing that is shown meanwhile is looked at"
                assert "Too many wrong tokens from your address: try again in" in answer.text
                desk.clock.now += waits[-1]
        assert waits == [1, 2, 4, 8, 16, 32, 60]
        other = httpx.AsyncClient(
            transport=httpx.ASGITransport(desk.app, client=("203.0.113.7", 1)), base_url=f"http://{HOST}"
        )
        async with other:
            assert (await other.post("/login", data={"token": TOKEN})).status_code == 303
        desk.clock.now += 60
        assert (await login(desk, TOKEN)).status_code == 303
        assert (await login(desk, "wrong")).status_code == 401, "a success starts the count again"


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.7", "203.0.113.8", False),
        ("", "203.0.113.8", False),
    ],
)
def test_a_network_of_ipv6_is_one_who_guesses(first, second, is_same):
    tries = Tries()
    for _ in range(FREE_TRIES):
        tries.failed(first, NOW)
    assert (tries.wait_s(first, NOW), tries.wait_s(second, NOW)) == (1.0, 1.0 if is_same else 0.0)


def test_a_clock_that_was_set_back_locks_nobody_out():
    tries = Tries()
    for _ in range(20):
        tries.failed("203.0.113.7", NOW)
    assert tries.wait_s("203.0.113.7", NOW) == 60.0
    assert tries.wait_s("203.0.113.7", NOW - 86400) == 0.0


@given(st.integers(1, 3 * MOST_ADDRESSES))
@settings(max_examples=5)
def test_what_is_remembered_of_guesses_and_sessions_is_bounded(count):
    async def scenario():
        cluster = Alone(lambda: NOW)
        tries, sessions = Tries(), Sessions(cluster, lambda: NOW, {})
        for number in range(count):
            tries.failed(f"10.0.{number // 256}.{number % 256}", NOW)
            await sessions.begin("read")
        assert len(tries._failed) <= MOST_ADDRESSES
        assert len(sessions._seen) <= MOST_SESSIONS
        assert len(cluster._sessions) <= MOST_SESSIONS

    asyncio.run(scenario())


@given(st.text())
def test_any_text_is_a_session_or_none(text):
    async def scenario():
        sessions = Sessions(Alone(lambda: NOW), lambda: NOW, {})
        begun = await sessions.begin("full")
        await sessions.look(text)
        assert sessions.role(text) == ("full" if text == begun else None)
        assert sessions.role(begun) == "full"
        await sessions.end(text)

    asyncio.run(scenario())


class Away(Alone):
    """A store that cannot be asked."""

    async def session(self, key):
        raise StoreUnavailable("the server is away")


@story
async def test_a_login_at_one_replica_counts_at_the_others_until_it_ends_at_any_of_them(clock):
    cluster = Alone(clock.monotonic)
    one, other = Sessions(cluster, clock.monotonic, {}), Sessions(cluster, clock.monotonic, {})
    cookie = await one.begin("full")
    await other.look(cookie)
    assert other.role(cookie) == "full"
    await other.end(cookie)
    assert other.role(cookie) is None
    clock.move(TRUSTED_S)
    await one.look(cookie)
    assert one.role(cookie) is None


@story
async def test_the_console_can_be_read_while_the_store_is_away_by_those_who_were_logged_in(clock):
    cluster = Alone(clock.monotonic)
    sessions = Sessions(cluster, clock.monotonic, {})
    cookie = await sessions.begin("full")
    sessions._cluster = Away(clock.monotonic)
    clock.move(TRUSTED_S)
    await sessions.look(cookie)
    assert sessions.role(cookie) == "full"
    clock.move(SESSION_S)
    await sessions.look(cookie)
    assert sessions.role(cookie) is None


@story
async def test_a_replaced_token_ends_the_sessions_that_the_store_still_has(clock):
    cluster = Alone(clock.monotonic)
    before = {"full": Secret("first"), "read": Secret("reader")}
    cookie = await Sessions(cluster, clock.monotonic, before).begin("full")
    restarted = Sessions(cluster, clock.monotonic, before)
    await restarted.look(cookie)
    assert restarted.role(cookie) == "full"
    for role in before:
        replaced = Sessions(cluster, clock.monotonic, {**before, role: Secret("another")})
        await replaced.look(cookie)
        assert replaced.role(cookie) is None, role
