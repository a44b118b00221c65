"""Deliveries to a destination that wants access tokens, through the whole gateway: what is sent, what waits, and why."""

import base64
import json
import time
from urllib.parse import quote

import pytest

from gateway.event.spans import Spans
from gateway.model import DeliveryState
from gateway.oauth import asking
from tests.oauth.given import authorization, ec_key, guarded, pem, public_pem, rsa_key, to_crm, world
from tests.oauth_server import AuthorizationServer, answers, hangs, loses_its_answer
from tests.sink import Sink, answer
from tests.world import numbered, story

PENDING, DELIVERED, DEAD = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD
ENVIRON_KEY = "GATEWAY_SECRET_KEY"


async def delivered(world, *numbers):
    """The deliveries of these events, after everything that was due."""
    ids = [(await world.receive(numbered(number))).event_id for number in numbers]
    await world.turn()
    return [await world.delivery(id_) for id_ in ids]


# --- each grant ---


@pytest.mark.parametrize("client_auth", ["basic", "body"])
@story
async def test_client_credentials_get_a_token_that_all_deliveries_share(tmp_path, client_auth):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(
            tmp_path, to_crm(sink, server, client_auth=client_auth, parameters={"audience": "crm"})
        ) as gateway:
            made = await delivered(gateway, 1, 2, 3)
            assert [each.state for each in made] == [DELIVERED] * 3
            assert len({authorization(each) for each in sink.requests}) == 1
            assert server.asked == [{
                "grant_type": "client_credentials", "scope": "contacts", "audience": "crm",
                **({"client_id": "gateway", "client_secret": server.client.secret} if client_auth == "body" else {}),
            }]  # fmt: skip
            assert server.in_header == [client_auth == "basic"]


@story
async def test_a_refresh_token_that_stays_the_same_needs_no_successor(tmp_path):
    with AuthorizationServer(rotates=False, lasts_s=100) as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "refresh_token", refresh_token=server.first_refresh_token(), scope=None)
        async with world(tmp_path, text) as gateway:
            for number in range(3):
                [made] = await delivered(gateway, number)
                assert made.state is DELIVERED
                gateway.clock.now += 100
            assert server.count("refresh_token") == 3
            [login] = await gateway.store.logins()
            assert (login.sealed, login.owner, login.ended) == (b"", "", "")


@story
async def test_a_refresh_token_that_is_good_for_one_use_is_succeeded_also_after_a_restart(tmp_path):
    with AuthorizationServer(lasts_s=100) as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "refresh_token", refresh_token=(first := server.first_refresh_token()))
        for number in range(3):
            async with world(tmp_path, text) as gateway:
                [made] = await delivered(gateway, number)
                assert made.state is DELIVERED
                [login] = await gateway.store.logins()
                assert first.encode() not in login.sealed
        used = [form["refresh_token"] for form in server.asked]
        assert used[0] == first
        assert len(set(used)) == 3
        stored = (tmp_path / "gateway.db").read_bytes()
        assert not any(token.encode() in stored for token in (*server.refresh, *server.access))


@pytest.mark.parametrize("key", [rsa_key, ec_key])
@story
async def test_an_assertion_is_signed_with_either_kind_of_key(tmp_path, key):
    with AuthorizationServer(keys={"gateway": public_pem(key())}) as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "jwt_bearer", key=pem(key()), key_id="2026", subject="ann")
        async with world(tmp_path, text) as gateway:
            [made] = await delivered(gateway, 1)
            assert made.state is DELIVERED
            assert [form["scope"] for form in server.asked] == ["contacts"]
            assert list(await gateway.store.logins()) == []


@story
async def test_the_key_file_of_a_google_service_account_is_enough(tmp_path):
    robot = "robot@project.iam.gserviceaccount.com"
    with AuthorizationServer(keys={robot: public_pem(rsa_key())}) as server, Sink(guarded(server)) as sink:
        account = {
            "type": "service_account",
            "client_email": robot,
            "private_key": pem(rsa_key()),
            "private_key_id": "k1",
        }
        (tmp_path / "google.json").write_text(json.dumps({**account, "token_uri": server.token_url}))
        text = to_crm(
            sink, server, "jwt_bearer", service_account="${file:google.json}", token_url=None, client_id=None,
            client_secret=None, scope=["https://www.googleapis.com/auth/spreadsheets", "openid"],
        )  # fmt: skip
        async with world(tmp_path, text) as gateway:
            [made] = await delivered(gateway, 1)
            assert made.state is DELIVERED
            [form] = server.asked
            assert form.keys() == {"grant_type", "assertion"}, "Google reads the scope in the assertion"


# --- a token ends ---


@story
async def test_the_next_token_is_fetched_before_one_ends_and_nobody_waits_for_it(tmp_path):
    with AuthorizationServer(lasts_s=1000) as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            await delivered(gateway, 1)
            gateway.clock.now += 900
            await delivered(gateway, 2)
            assert server.count("client_credentials") == 1
            gateway.clock.now += 50
            await delivered(gateway, 3)
            [one, two, three] = map(authorization, sink.requests)
            assert one == two == three, "it is still valid while the next one is fetched"
            await gateway.gateway.tokens.close()
            await delivered(gateway, 4)
            assert authorization(sink.requests[-1]) != one
            assert server.count("client_credentials") == 2


@story
async def test_a_token_endpoint_in_trouble_is_asked_now_and_then_while_a_token_is_still_valid(tmp_path):
    with AuthorizationServer(lasts_s=1000) as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            await delivered(gateway, 1)
            gateway.clock.now += 950
            server.behave(*[answers(503, "")] * 2)
            for number in range(2, 8):
                [made] = await delivered(gateway, number)
                assert made.state is DELIVERED
                await gateway.gateway.tokens.close()
            assert len(server.asked) == 2
            gateway.clock.now += 5
            await delivered(gateway, 8)
            await gateway.gateway.tokens.close()
            assert len(server.asked) == 3


@story
async def test_a_token_that_is_refused_is_renewed_once_within_the_attempt(tmp_path):
    refused = []
    with AuthorizationServer() as server, Sink(guarded(server, refused=refused)) as sink:
        async with world(tmp_path, to_crm(sink, server, retry="none")) as gateway:
            await delivered(gateway, 1)
            server.access.clear()
            made = await delivered(gateway, 2, 3)
            assert [(each.state, each.attempts) for each in made] == [(DELIVERED, 1)] * 2
            assert server.count("client_credentials") == 2
            assert len(set(refused)) == 1


@story
async def test_a_token_that_was_refused_is_not_sent_again_while_there_is_no_other(tmp_path):
    refused, spans = [], []
    with AuthorizationServer() as server, Sink(guarded(server, refused=refused)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            gateway.gateway.spans = Spans(put=spans.append, clock=gateway.clock.wall)
            await delivered(gateway, 1)
            server.access.clear()
            server.behave(*[answers(503, "")] * 2)
            [made] = await delivered(gateway, 2)
            await gateway.later(6.0)
            assert (len(refused), len(server.asked)) == (1, 3)
            [made] = (await gateway.store.event(made.event_id)).deliveries
            assert (made.attempts, made.spent_s) == (0, 0.0)
            attempts = [span for span in spans if span.name == "attempt crm"]
            assert [span.attributes["gateway.outcome"] for span in attempts] == ["delivered"], (
                "what is no attempt has no span"
            )
            await gateway.later(6.0)
            assert (await gateway.delivery(made.event_id)).state is DELIVERED
            assert len(refused) == 1


@story
async def test_each_token_has_a_span_in_a_trace_of_its_own(tmp_path):
    spans = []
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            gateway.gateway.spans = Spans(put=spans.append, clock=gateway.clock.wall)
            server.behave(answers(503, ""))
            await delivered(gateway, 1, 2)
            await gateway.later(60.0)
    failed, *fetched = [span for span in spans if span.name.startswith("token ")]
    assert failed.error
    assert [span.error for span in fetched] == [None]
    assert {(span.kind, span.parent_id, span.sender_id) for span in (failed, *fetched)} == {("CLIENT", None, None)}
    assert all(span.name == f"token {span.attributes['server.address']}" for span in (failed, *fetched))
    traces = [span.trace_id for span in spans]
    assert all(traces.count(span.trace_id) == 1 for span in (failed, *fetched))
    assert not any("s3cret" in f"{span}" for span in spans)


@story
async def test_a_destination_that_refuses_every_token_is_denied_like_any_other(tmp_path):
    with AuthorizationServer() as server, Sink(answer(401, b"no")) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            [made] = await delivered(gateway, 1)
            assert (made.state, made.attempts) == (PENDING, 1)
            assert "answered 401" in made.reason
            assert "auth.oauth2 is written in the file" in made.reason
            assert len(sink.requests) == 2


# --- a person has to log in ---


@story
async def test_a_revoked_login_pauses_its_destination_and_names_the_remedy(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "refresh_token", refresh_token=server.first_refresh_token(), retry="none")
        async with world(tmp_path, text) as gateway:
            await delivered(gateway, 1)
            server.revoke_all()
            [made] = await delivered(gateway, 2)
            assert (made.state, made.attempts, made.spent_s) == (PENDING, 0, 0.0)
            assert "no longer accepts its login (invalid_grant" in made.reason
            assert gateway.dispatcher.holds.health("crm").startswith(
                "paused by the gateway: 127.0.0.1 no longer accepts"
            )
            assert "put a new refresh_token into auth.oauth2, then resume it" in made.reason
            [login] = await gateway.store.logins()
            assert login.ended.startswith("invalid_grant")
            asked = len(server.asked)
            await gateway.later(7 * 86400.0)
            assert len(server.asked) == asked, "nobody asks again"
            assert (await gateway.delivery(made.event_id)).state is PENDING


@story
async def test_before_anybody_has_logged_in_deliveries_wait_and_afterwards_they_go_out(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "authorization_code", authorize_url=f"{server.url}/authorize")
        async with world(tmp_path, text) as gateway:
            [made] = await delivered(gateway, 1)
            assert (made.state, made.attempts) == (PENDING, 0)
            assert made.reason == "nobody has logged in yet: run `gateway login crm`"
            assert server.asked == []
            oauth = gateway.config.destinations["crm"].oauth
            await gateway.gateway.tokens.log_in(oauth, server.first_refresh_token(), by="ann")
            assert await gateway.dispatcher.holds.resume("crm", by="ann")
            await gateway.turn()
            assert (await gateway.delivery(made.event_id)).state is DELIVERED
            [login] = await gateway.store.logins()
            assert (login.by, login.ended) == ("ann", "")


@story
async def test_a_login_that_another_key_has_encrypted_says_so(tmp_path):
    with AuthorizationServer(lasts_s=100) as server, Sink(guarded(server)) as sink:
        text = to_crm(sink, server, "refresh_token", refresh_token=server.first_refresh_token())
        async with world(tmp_path, text) as gateway:
            await delivered(gateway, 1)
        other = world(tmp_path, text)
        other.environ = {ENVIRON_KEY: "f" * 64}
        other.write(text)
        async with other as gateway:
            [made] = await delivered(gateway, 2)
            assert made.state is PENDING
            assert made.reason == (
                "its stored login cannot be read because it was encrypted with another GATEWAY_SECRET_KEY: set that key again "
                "and resume it, or put a new refresh_token into auth.oauth2, then resume it"
            )
            assert server.count("refresh_token") == 1


# --- trouble of the authorization server ---

TROUBLE = {
    "503": (answers(503, {"error": "temporarily_unavailable"}), "answered 503"),
    "429": (answers(429, "slow down"), "answered 429"),
    "html": (answers(200, "<html>Log in</html>", Content_Type="text/html"), "answered 200 without JSON"),
    "a list": (answers(200, "[1]"), "answered 200 without JSON"),
    "no token": (answers(200, {"token_type": "Bearer"}), "without an access token"),
    "a token that no header can carry": (answers(200, {"access_token": "a\r\nb: c"}), "without an access token"),
    "another kind of token": (answers(200, {"access_token": "x", "token_type": "mac"}), "not a bearer token"),
    "a redirect": (answers(302, b"", Location="https://elsewhere.example/x"), "answered 302"),
    "300 MB": (answers(200, b"x" * 300_000), "bytes"),
    "an unknown client": (answers(401, {"error": "invalid_client"}), "invalid_client; correct auth.oauth2"),
    "a connection that breaks": (loses_its_answer, "127.0.0.1, which issues its tokens: "),
}


@pytest.mark.parametrize("behaviour, reason", TROUBLE.values(), ids=TROUBLE)
@story
async def test_trouble_of_the_token_endpoint_is_the_destinations_circuit_and_kills_no_delivery(
    tmp_path, behaviour, reason
):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server, retry="none")) as gateway:
            server.behave(*[behaviour] * 5)
            [made] = await delivered(gateway, 1)
            assert (made.state, made.attempts, made.spent_s) == (PENDING, 0, 0.0)
            assert reason in made.reason
            for _ in range(4):
                await gateway.later(6.0)
            assert gateway.dispatcher.holds.standing("crm").circuit == "open"
            assert len(server.asked) == 5
            assert sink.requests == []
            await gateway.later(6.0)
            assert gateway.dispatcher.holds.standing("crm").circuit == "closed", "the probe has found it well"
            [made] = (await gateway.store.event(made.event_id)).deliveries
            assert (made.state, made.attempts) == (DELIVERED, 1)


@story
async def test_the_token_endpoint_is_behind_the_same_door_and_a_blocked_address_is_trouble_too(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            # As if it were a listener of the gateway's own.
            gateway.gateway.egress.avoid(server.url)
            [made] = await delivered(gateway, 1)
            assert (made.state, made.attempts) == (PENDING, 0)
            assert made.reason.startswith("127.0.0.1, which issues its tokens: ")
            assert server.asked == []


@story
async def test_a_token_endpoint_that_hangs_holds_an_attempt_for_a_bounded_time(tmp_path, monkeypatch):
    monkeypatch.setattr(asking, "REQUEST_S", 0.2)
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            server.behave(hangs(1.0))
            began = time.monotonic()
            [made] = await delivered(gateway, 1)
            assert time.monotonic() - began < 5
            assert (made.state, made.attempts) == (PENDING, 0)
            assert "no answer within 0.2 s" in made.reason


SPELLINGS = {
    "as it is": str,
    "in base64": lambda token: base64.b64encode(token.encode()).decode(),
    "in hex": lambda token: token.encode().hex(),
    "percent-encoded": lambda token: quote(token, safe=""),
}


@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
@story
async def test_nothing_that_is_stored_or_said_repeats_a_token(tmp_path, capsys, spelt):
    token = "tok/1234567890+abcdef"
    said = spelt(token)
    echo = answer(500, f'{{"message": "unknown token {said}"}}'.encode(), [("location", f"https://x.example/{said}")])
    with AuthorizationServer() as server, Sink(echo) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            server.behave(answers(200, {"access_token": token, "expires_in": 60}))
            [made] = await delivered(gateway, 1)
            assert made.reason == "answered 500: unknown token *** (an error on its side)"
            assert said not in str(await gateway.store.event(made.event_id))
        assert said not in str(capsys.readouterr())
        assert said.encode() not in (tmp_path / "gateway.db").read_bytes()


@story
async def test_what_the_server_says_of_a_refresh_token_is_masked(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        first = server.first_refresh_token()
        text = to_crm(sink, server, "refresh_token", refresh_token=first)
        async with world(tmp_path, text) as gateway:
            await delivered(gateway, 1)
            gateway.clock.now += 4000
            [successor] = [name for name, each in server.refresh.items() if not each.is_used]
            server.behave(answers(400, {"error": "invalid_grant", "error_description": f"{successor} is unknown"}))
            [made] = await delivered(gateway, 2)
            assert "(invalid_grant: *** is unknown)" in made.reason


# --- clocks ---


@pytest.mark.parametrize("ahead_s", [-3600.0, 3600.0])
@story
async def test_an_assertion_is_dated_by_the_servers_clock_if_ours_is_wrong(tmp_path, ahead_s):
    keys = {"gateway": public_pem(rsa_key())}
    with AuthorizationServer(keys=keys, ahead_s=ahead_s) as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server, "jwt_bearer", key=pem(rsa_key()))) as gateway:
            [made] = await delivered(gateway, 1)
            assert made.state is DELIVERED
            assert len(server.asked) == 2


@story
async def test_a_refused_assertion_pauses_the_destination(tmp_path):
    keys = {"gateway": public_pem(rsa_key())}
    with AuthorizationServer(keys=keys) as server, Sink(guarded(server)) as sink:
        async with world(
            tmp_path, to_crm(sink, server, "jwt_bearer", key=pem(rsa_key()), subject="ann", issuer="who")
        ) as gateway:
            [made] = await delivered(gateway, 1)
            assert made.state is PENDING
            assert "refuses its assertion (invalid_grant" in made.reason
            assert "correct the key, the issuer or the subject" in gateway.dispatcher.holds.health("crm")


@story
async def test_a_clock_that_is_set_ends_no_token(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            await delivered(gateway, 1)
            gateway.clock.jump += 86400.0
            await delivered(gateway, 2)
            assert len(server.asked) == 1


# --- what does not change ---


@story
async def test_another_file_with_another_secret_is_another_login(tmp_path):
    with AuthorizationServer() as server, Sink(guarded(server)) as sink:
        async with world(tmp_path, to_crm(sink, server)) as gateway:
            await delivered(gateway, 1)
            gateway.reload(to_crm(sink, server, client_secret="wrong"))
            [made] = await delivered(gateway, 2)
            assert made.state is PENDING
            gateway.reload(to_crm(sink, server))
            await gateway.later(10.0)
            assert (await gateway.delivery(made.event_id)).state is DELIVERED
