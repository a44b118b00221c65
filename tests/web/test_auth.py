"""Who may do what at the admin listener, by token, by cookie, by host, by origin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import telemetry
from gateway.model import Secret
from gateway.web import AdminOptions, auth
from tests.web.desk import HOST, READ_TOKEN, TOKEN, Desk, GuardedDesk
from tests.world import story

BEARER = f"Bearer {TOKEN}"
READER = f"Bearer {READ_TOKEN}"
OPTIONS = AdminOptions(hosts=(), token=Secret(TOKEN), read_token=Secret(READ_TOKEN))
NOW = 1_000_000.0


@story
async def test_without_a_token_whoever_reaches_the_listener_may_do_everything(tmp_path):
    async with Desk(tmp_path, "") as desk:
        assert (await desk.ask("/api/events"))[0] == 200
        assert (await desk.ask("/api/reload", {}))[0] == 200


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
async def test_a_login_ends_after_twelve_hours_and_at_a_logout(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        await login(desk, TOKEN)
        desk.clock.now += 12 * 3600 - 1
        assert (await desk.ask("/api/events"))[0] == 200
        desk.clock.now += 2
        assert (await desk.ask("/api/events"))[0] == 401
        await login(desk, TOKEN)
        await desk.client.post("/logout")
        assert (await desk.ask("/api/events"))[0] == 401


@pytest.mark.parametrize("role", ["full", "read"])
def test_a_session_is_of_its_role_and_its_token(role):
    session = auth.session_of(role, OPTIONS, NOW)
    assert auth.role_of_session(session, OPTIONS, NOW) == role
    other = AdminOptions(hosts=(), token=Secret("x" * 32), read_token=Secret("y" * 32))
    assert auth.role_of_session(session, other, NOW) is None
    assert auth.role_of_session(session, AdminOptions(hosts=()), NOW) is None


@given(st.data())
def test_a_session_that_was_changed_is_none(data):
    session = auth.session_of("read", OPTIONS, NOW)
    at = data.draw(st.integers(0, len(session) - 1))
    changed = session[:at] + data.draw(st.characters()) + session[at + 1 :]
    assert (auth.role_of_session(changed, OPTIONS, NOW) is None) == (changed != session)


@pytest.mark.parametrize("session", ["", ".", "..", "full", "full.9999999999.", "full.9999999999.é", "full.²."])
def test_any_text_is_a_session_or_none(session):
    assert auth.role_of_session(session, OPTIONS, NOW) is None
    raised = auth.session_of("read", OPTIONS, NOW).replace("read", "full")
    assert auth.role_of_session(raised, OPTIONS, NOW) is None


# --- pages ---


@story
async def test_a_browser_without_a_cookie_is_shown_the_login_and_comes_back(tmp_path):
    async with GuardedDesk(tmp_path, "") as desk:
        answer = await desk.client.get("/inbox?x=1&y=2", headers={"accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?to=/inbox%3Fx%3D1%26y%3D2")
        answer = await desk.client.post("/logout", headers={"accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        page = await desk.client.get("/login?to=/events/evt_1")
        assert 'value="/events/evt_1"' in page.text
        assert (await desk.ask("/api/events", accept="text/html"))[0] == 401, "the API has no pages"


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\t/x", "", "é"]
)
def test_nobody_is_sent_elsewhere_by_a_login(to):
    assert auth.local_page(to) == "/"


# --- other sites ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, 200),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": f"http://{HOST}"}, 200),
        ({"host": "evil.example"}, 403),
    ],
)
def test_another_site_reads_nothing(tmp_path, headers, status):
    @story
    async def scenario():
        async with GuardedDesk(tmp_path, "") as desk:
            assert (await desk.ask("/api/events", authorization=BEARER, **headers))[0] == status

    scenario()


@pytest.mark.parametrize("mode", ["navigate", "cors", "no-cors"])
def test_a_form_of_another_site_posts_nothing_even_with_the_cookie(tmp_path, mode):
    @story
    async def scenario():
        async with GuardedDesk(tmp_path, "") as desk:
            await login(desk, TOKEN)
            headers = {"sec_fetch_site": "cross-site", "sec_fetch_mode": mode}
            assert (await desk.ask("/api/reload", {}, **headers))[0] == 403
            assert (await desk.ask("/login", {}, **headers))[0] == 403

    scenario()


@story
async def test_a_link_from_a_chat_is_asked_once_more_by_a_page_of_ours(tmp_path):
    """The browser keeps the cookie back for the first request: it comes from another site."""
    followed = {"accept": "text/html", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    async with GuardedDesk(tmp_path, "") as desk:
        answer = await desk.client.get('/inbox?x="><script>', headers=followed)
        assert answer.status_code == 200
        assert 'http-equiv="refresh" content="0;url=/inbox?x=%22%3E%3Cscript%3E"' in answer.text
        again = await desk.client.get("/inbox", headers={**followed, "sec-fetch-site": "same-origin"})
        assert (again.status_code, again.headers["location"]) == (303, "/login?to=/inbox")
        await login(desk, TOKEN)
        assert (await desk.client.get("/inbox", headers=followed)).status_code == 200
