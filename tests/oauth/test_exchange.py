"""What is sent to a token endpoint, what its answers mean, and what a login in a browser checks."""

import base64
import hashlib
import json
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TokenUnavailable
from gateway.model import Reply
from gateway.oauth import assertions, exchange, login, sealing
from gateway.oauth.exchange import Granted, Refused
from gateway.oauth.settings import OAuth
from tests.oauth.given import SECRET_KEY, ec_key, pem, rsa_key

CLIENT = OAuth(grant="client_credentials", token_url="https://a.example/t", client_id="a:b c", client_secret="ü&%")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.integers(10**300, 10**400) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["error", "access_token", "expires_in", "token_type", "refresh_token", "error_description"]), inner),
)  # fmt: skip


def reply(body, status=200, **headers):
    return Reply(status=status, headers=headers, body=body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_client_in_the_header_is_encoded_as_a_form_first():
    request = exchange.request(CLIENT, CLIENT.token_url, [("grant_type", "client_credentials")])
    encoded = dict(request.headers)["authorization"].removeprefix("Basic ")
    assert base64.b64decode(encoded) == b"a%3Ab%20c:%C3%BC%26%25"
    assert request.body == b"grant_type=client_credentials"


def test_a_client_without_a_secret_says_its_id_in_the_body():
    public = OAuth(grant="device_code", token_url="https://a.example/t", client_id="app")
    assert parse_qsl(exchange.request(public, public.token_url, []).body.decode()) == [("client_id", "app")]


@pytest.mark.parametrize(
    ("lasts", "expected"),
    [
        (3600, 3600.0),
        ("3600", 3600.0),
        (0, 0.0),
        (-5, 0.0),
        (1e30, 30 * 86400.0),
        (10**400, 30 * 86400.0),
        ("9" * 5000, 30 * 86400.0),
        (None, None),
        ("soon", None),
        (True, None),
    ],
)
def test_how_long_a_token_lasts_is_read_as_servers_write_it(lasts, expected):
    answer = {"access_token": "t", "token_type": "bearer", "expires_in": lasts}
    assert exchange.granted(reply(answer), "a.example", now=0.0) == Granted(access_token="t", lasts_s=expected)


@given(status=st.integers(100, 599), body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_answer_is_a_token_or_one_of_two_errors(status, body):
    try:
        found = exchange.granted(reply(body, status, date="Sun, 99 Nov"), "a.example", now=0.0)
    except (TokenUnavailable, Refused) as error:
        assert str(error).isprintable()
        assert len(str(error)) < 400
    else:
        assert exchange.is_token(found.access_token)
        assert found.access_token not in repr(found)


def test_an_error_with_200_is_an_error_too():
    with pytest.raises(Refused, match=r"bad_verification_code: The code \*\*\* is wrong") as raised:
        exchange.granted(
            reply({"error": "bad_verification_code", "error_description": "The code c0de\nis wrong"}, date="Thu, 01 Jan 1970 00:01:00 GMT"),
            "a.example", now=0.0, secrets=["c0de", ""],
        )  # fmt: skip
    assert raised.value.skew_s == 60.0


def test_a_token_is_opened_by_its_key_and_for_its_login_alone():
    stored = sealing.sealed("refresh-1", key=SECRET_KEY, login_id="oauth2-a")
    assert b"refresh" not in stored
    assert sealing.opened(stored, key=SECRET_KEY, login_id="oauth2-a") == "refresh-1"
    for given_ in ({"key": "x" * 32}, {"login_id": "oauth2-b"}):
        with pytest.raises(sealing.Unsealable):
            sealing.opened(stored, **{"key": SECRET_KEY, "login_id": "oauth2-a", **given_})
    for damaged in (b"", stored[:10], stored[:-1], stored + b"x"):
        with pytest.raises(sealing.Unsealable):
            sealing.opened(damaged, key=SECRET_KEY, login_id="oauth2-a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a private key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "not a private key"),
    ],
)
def test_a_key_that_cannot_sign_says_why(text, why):
    with pytest.raises(assertions.KeyUnusable, match=why):
        assertions.algorithm_of(text)


def test_the_algorithm_is_that_of_the_key():
    assert assertions.algorithm_of(pem(rsa_key())) == "RS256"
    assert assertions.algorithm_of(pem(ec_key())) == "ES256"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"type": "authorized_user"}', '{"type": "service_account", "client_email": 7}']
)
def test_what_is_not_a_service_accounts_key_is_refused(text):
    with pytest.raises(assertions.KeyUnusable):
        assertions.service_account(text)


# --- a login in a browser ---

PAGE = OAuth(
    grant="authorization_code", token_url="https://a.example/t", client_id="app", scope="a b",
    authorize_url="https://a.example/authorize?prompt=consent", redirect_url="http://127.0.0.1:8976/callback",
)  # fmt: skip


def test_each_login_has_its_own_state_and_challenge():
    one, other = login.page(PAGE), login.page(PAGE)
    assert (one.state, one.verifier) != (other.state, other.verifier)
    asked = parse_qs(urlsplit(one.url).query)
    digest = base64.urlsafe_b64encode(hashlib.sha256(one.verifier.encode()).digest()).decode().rstrip("=")
    assert (asked["prompt"], asked["state"], asked["scope"]) == (["consent"], [one.state], ["a b"])
    assert (asked["code_challenge"], asked["code_challenge_method"]) == ([digest], ["S256"])
    assert one.verifier not in one.url


@given(st.text(max_size=60))
def test_no_made_up_address_is_taken_for_the_browsers(text):
    page = login.page(PAGE)
    for made_up in (text, f"http://127.0.0.1:8976/callback?{text}", f"/callback?code=c&state={text}"):
        with pytest.raises(login.OtherState):
            login.code_of(page, made_up)


def test_the_code_is_taken_from_the_address_or_its_end():
    page = login.page(PAGE)
    for address in (f"http://127.0.0.1:8976/callback?code=c&state={page.state}", f" ?state={page.state}&code=c\n"):
        assert login.code_of(page, address) == "c"
