"""A login with a code: how often the server is asked whether it was confirmed, and for how long."""

import asyncio
import json

import pytest

from gateway.egress import Door
from gateway.egress.faults import NameNotResolved
from gateway.errors import (
    AddressBlocked,
    AnswerBroken,
    ConnectFailed,
    EgressError,
    TimedOut,
    TLSFailed,
)
from gateway.model import Reply
from gateway.oauth import login
from gateway.oauth.settings import OAuth

APP = OAuth(
    grant="device_code", token_url="https://a.example/t", device_url="https://a.example/d", client_id="app"
)  # fmt: skip
DEVICE = login.Device(
    code="c", user_code="AB-CD", url="https://a.example", complete_url="", interval_s=5.0, lasts_s=300.0
)
PENDING = {"error": "authorization_pending"}
SLOWER = {"error": "slow_down"}
GRANTED = {"access_token": "t", "refresh_token": "r"}
NO_NETWORK = ConnectFailed("no route to host")


def answer(body, status=200):
    return Reply(status=status, body=body if isinstance(body, bytes) else json.dumps(body).encode())


class Server:
    """Answers each request with the next one of ``answers``, and any further request with the last one."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), 0

    async def send(self, _request, **_how):
        found = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if isinstance(found, EgressError):
            raise found
        return found if isinstance(found, Reply) else answer(found, 400 if "error" in found else 200)


def confirmed(server, device=DEVICE):
    """The refresh token, or the error that ended it; and how long each question was waited for."""
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    try:
        return asyncio.run(login.confirmed(APP, device, egress=server, door=Door(), sleep=sleep)), waits
    except login.LoginFailed as error:
        return str(error), waits


@pytest.mark.parametrize(
    "error",
    [
        NO_NETWORK,
        NameNotResolved("a.example does not resolve"),
        TimedOut("no answer within 15 s"),
        AnswerBroken("the connection broke"),
        answer(b"<html>", 502),
        answer({"error": "temporarily_unavailable"}, 503),
        answer(b"", 429),
        answer(b"", 408),
    ],
    ids=lambda error: str(error)[:20] if isinstance(error, EgressError) else str(error.status),
)
def test_a_question_without_an_answer_is_asked_again_after_twice_the_time(error):
    assert confirmed(Server(PENDING, error, error, PENDING, GRANTED)) == ("r", [5, 5, 10, 20, 20])


def test_the_time_between_two_questions_does_not_grow_beyond_a_minute_by_that():
    assert confirmed(Server(*[NO_NETWORK] * 5, GRANTED)) == ("r", [5, 10, 20, 40, 60, 60])


def test_a_server_that_asks_for_more_time_gets_it_whatever_went_wrong():
    assert confirmed(Server(*[NO_NETWORK] * 3, SLOWER, SLOWER, NO_NETWORK, GRANTED))[1] == [5, 10, 20, 40, 45, 50, 60]
    assert confirmed(Server(*[NO_NETWORK] * 4, SLOWER, NO_NETWORK, GRANTED))[1] == [5, 10, 20, 40, 60, 65, 65]


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (NO_NETWORK, "a.example issues no token: no route to host; run the command again"),
        (PENDING, "nobody confirmed the code in time: run the command again"),
    ],
    ids=["no network", "pending"],
)
def test_it_ends_with_the_life_of_the_code_and_says_what_was_missing(last, why):
    said, waits = confirmed(Server(NO_NETWORK, PENDING, last))
    assert said == why
    assert 300 <= sum(waits) < 360


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AddressBlocked("10.0.0.1 is private"), "issues no token: 10.0.0.1 is private"),
        (TLSFailed("the certificate has expired"), "issues no token: the certificate has expired"),
        (answer(b"<html>", 404), "answered 404 without JSON: is that the token endpoint?"),
        (answer({}), "answered 200 without an access token"),
        ({"error": "access_denied"}, "refuses the login: access_denied"),
    ],
    ids=["blocked", "tls", "404", "no token", "denied"],
)
def test_what_another_question_would_not_change_ends_it_at_once(error, why):
    server = Server(error, GRANTED)
    assert why in confirmed(server)[0]
    assert server.asked == 1


@pytest.mark.parametrize(
    ("written", "interval_s", "lasts_s"),
    [
        ({}, 5, 600),
        ({"interval": 7, "expires_in": 900}, 7, 900),
        ({"interval": "7", "expires_in": "900"}, 7, 900),
        ({"interval": 61, "expires_in": 86_400}, 60, 3_600),
        ({"interval": 10**400, "expires_in": 10**400}, 60, 3_600),
        ({"interval": 0, "expires_in": -1}, 5, 600),
        ({"interval": None, "expires_in": True}, 5, 600),
    ],
)
def test_times_of_the_server_count_up_to_a_most(written, interval_s, lasts_s):
    codes = {"device_code": "c", "user_code": "AB-CD", "verification_uri": "https://a.example"}
    made = asyncio.run(login.device(APP, egress=Server({**codes, **written}), door=Door()))
    assert (made.interval_s, made.lasts_s) == (interval_s, lasts_s)
