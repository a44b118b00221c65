"""E-mail on real sockets: TLS or nothing, a login that is seen over TLS only, and every answer of a server as a verdict."""

import asyncio
import time

import pytest

from gateway.destinations import KINDS, Target
from gateway.egress import Door, Egress
from gateway.errors import AddressBlocked, ConnectFailed, EgressError, TimedOut, TLSFailed
from gateway.model import Dead, Delivered, Mail, Reply, Retry
from tests.egress.certificates import Authority
from tests.egress.diverted import Names
from tests.smtp import MailServer
from tests.waiting import until

LOGIN = ("gateway", "p4ss:wörd")
MESSAGE = b"Subject: hi\r\n\r\n.first\r\nsecond \xc3\xa9\r\n"


def mail(
    url: str, *, login: tuple[str, str] | None = None, recipients: tuple[str, ...] = ("sales@example.com",)
) -> Mail:
    return Mail(url=url, sender="gw@example.com", recipients=recipients, login=login, message=MESSAGE, said=b"{}")


def sent(mail: Mail, door: Door, *, timeout_s: float = 30.0, listeners: tuple[str, ...] = ()) -> Reply | EgressError:
    async def run() -> Reply | EgressError:
        egress = Egress()
        egress.avoid(*listeners)
        try:
            return await egress.send(mail, timeout_s=timeout_s, door=door)
        except EgressError as error:
            return error
        except AddressBlocked as error:
            return error
        finally:
            await egress.close()

    return asyncio.run(run())


def judged(reply: object):
    assert isinstance(reply, Reply), reply
    return KINDS["email"].judge(Target(url="smtp://mail.test", login="auth.basic is ${MAIL}"), reply, 0.0)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "STARTTLS"])
def test_a_message_arrives_byte_for_byte_over_tls(authority: Authority, tmp_path, implicit: bool) -> None:
    with MailServer(tls=authority.server(tmp_path), implicit=implicit, login=True) as server:
        to = ("sales@example.com", "ann@example.org")
        reply = sent(mail(server.url, login=LOGIN, recipients=to), Door(ca=authority.pem))
        assert isinstance(reply, Reply), reply
        assert (reply.status, reply.body) == (250, b"250 2.0.0 queued as 1A2B")
    [taken] = server.mails
    assert taken.message == MESSAGE
    assert (taken.sender, taken.recipients) == (b"<gw@example.com>", (b"<sales@example.com>", b"<ann@example.org>"))
    assert (taken.is_tls, taken.login, taken.greeted) == (True, LOGIN, b"example.com")


def test_without_starttls_nothing_is_sent_and_the_remedy_is_named() -> None:
    with MailServer(login=True) as server:
        error = sent(mail(server.url, login=LOGIN), Door())
        assert isinstance(error, TLSFailed)
        assert "write smtps://, or insecure: true" in str(error)
    assert server.mails == []
    assert not any(command.startswith((b"AUTH", b"MAIL")) for command in server.commands)


def test_insecure_sends_without_tls() -> None:
    with MailServer() as server:
        assert judged(sent(mail(server.url), Door(plain_mail=True))) == Delivered()
    assert [each.is_tls for each in server.mails] == [False]


@pytest.mark.parametrize("implicit", [True, False], ids=["smtps", "STARTTLS"])
def test_a_certificate_that_nobody_vouches_for_gets_nothing(authority: Authority, tmp_path, implicit: bool) -> None:
    with MailServer(tls=authority.server(tmp_path), implicit=implicit, login=True) as server:
        assert isinstance(sent(mail(server.url, login=LOGIN), Door()), TLSFailed)
    assert server.mails == []
    assert not any(command.startswith((b"AUTH", b"MAIL")) for command in server.commands)


@pytest.mark.parametrize(
    ("verb", "answer", "verdict", "status", "as_http"),
    [
        (b"", b"421 4.3.2 too busy", Retry, 421, 503),
        (b"", b"554 5.3.2 no mail here", Dead, 554, 422),
        (b"EHLO", b"421 4.3.2 closing", Retry, 421, 503),
        (b"MAIL", b"451 4.3.0 local trouble", Retry, 451, 503),
        (b"MAIL", b"530 5.7.0 authentication required", Dead, 530, 401),
        (b"MAIL", b"553 5.1.8 bad sender", Dead, 553, 422),
        (b"RCPT", b"450 4.2.0 greylisted", Retry, 450, 425),
        (b"RCPT", b"452 4.5.3 too many recipients", Retry, 452, 425),
        (b"RCPT", b"550 5.1.1 no such user", Dead, 550, 422),
        (b"DATA", b"451 4.7.1 later", Retry, 451, 503),
        (b"DATA", b"554 5.5.1 no valid recipients", Dead, 554, 422),
        (b".", b"452 4.3.1 no room", Retry, 452, 425),
        (b".", b"552 5.3.4 message too big", Dead, 552, 422),
        (b".", b"554 5.7.1 spam", Dead, 554, 422),
    ],
    ids=lambda value: value.decode() if isinstance(value, bytes) else "",
)
def test_what_a_server_refuses_is_a_verdict_with_its_words(verb, answer, verdict, status, as_http) -> None:
    with MailServer() as server:
        server.says(verb, answer)
        reply = sent(mail(server.url), Door(plain_mail=True))
        found = judged(reply)
    assert isinstance(found, verdict)
    assert answer.decode() in found.reason
    assert reply.status == status
    assert KINDS["email"].status_of(reply) == as_http
    assert server.mails == []


def test_a_login_that_is_refused_says_where_it_comes_from(authority: Authority, tmp_path) -> None:
    with MailServer(tls=authority.server(tmp_path), login=True) as server:
        server.says(b"AUTH", b"535 5.7.8 bad credentials")
        reply = sent(mail(server.url, login=LOGIN), Door(ca=authority.pem))
        found = judged(reply)
    assert isinstance(found, Dead)
    assert (
        found.reason
        == "answered 535 5.7.8 bad credentials (the server does not accept the login; auth.basic is ${MAIL})"
    )
    assert KINDS["email"].status_of(reply) == 401


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with MailServer() as server:
        server.says(b"RCPT", b"")
        error = sent(mail(server.url), Door(plain_mail=True), timeout_s=0.5)
    assert isinstance(error, EgressError)
    assert "no answer within 0.5 s" in str(error)


def test_what_a_server_has_taken_is_delivered_even_if_it_never_says_goodbye() -> None:
    with MailServer() as server:
        server.says(b"QUIT", b"")
        began = time.monotonic()
        assert judged(sent(mail(server.url), Door(plain_mail=True))) == Delivered()
        assert time.monotonic() - began < 20
    assert len(server.mails) == 1


def test_the_loop_goes_on_while_a_server_hangs() -> None:
    async def run(url: str) -> float:
        egress = Egress()
        stuck = asyncio.create_task(egress.send(mail(url), timeout_s=1.0, door=Door(plain_mail=True)))
        longest, before = 0.0, time.monotonic()
        while not stuck.done():
            await asyncio.sleep(0.01)
            longest, before = max(longest, time.monotonic() - before), time.monotonic()
        await egress.close()
        assert isinstance(stuck.exception(), EgressError)
        return longest

    with MailServer() as server:
        server.says(b"DATA", b"")
        assert asyncio.run(run(server.url)) < 0.9


def test_a_message_that_is_given_up_while_it_waits_for_others_is_never_begun(monkeypatch) -> None:
    monkeypatch.setattr("gateway.egress.mail.MOST_AT_ONCE", 1)
    door = Door(plain_mail=True)

    async def run(hanging: MailServer, given_up: MailServer, last: MailServer) -> None:
        egress = Egress()
        stuck = asyncio.create_task(egress.send(mail(hanging.url), timeout_s=30.0, door=door))
        await until(lambda: hanging.connections)
        with pytest.raises(TimedOut):
            await egress.send(mail(given_up.url), timeout_s=0.1, door=door)
        stuck.cancel()
        reply = await egress.send(mail(last.url), timeout_s=30.0, door=door)
        await egress.close()
        assert judged(reply) == Delivered()

    with MailServer() as hanging, MailServer() as given_up, MailServer() as last:
        hanging.says(b"EHLO", b"")
        asyncio.run(run(hanging, given_up, last))
        assert given_up.connections == 0


def test_nobody_listening_is_an_attempt_that_failed() -> None:
    with MailServer() as server:
        url = server.url
    assert isinstance(sent(mail(url), Door(plain_mail=True)), ConnectFailed)


def test_a_name_of_this_network_is_refused_where_only_public_ones_are_allowed(names: Names) -> None:
    names.answer(["127.0.0.1"])
    blocked = sent(mail("smtp://mail.test:2525"), Door(public=True, plain_mail=True))
    assert isinstance(blocked, AddressBlocked)


def test_the_gateway_never_connects_to_itself() -> None:
    with MailServer() as server:
        blocked = sent(mail(server.url), Door(plain_mail=True), listeners=(f"http://127.0.0.1:{server.port}",))
        assert isinstance(blocked, AddressBlocked)
        assert server.connections == 0


def test_many_answers_of_a_server_are_not_kept() -> None:
    with MailServer() as server:
        server.says(b"RCPT", b"\r\n".join([b"550-" + b"x" * 900] * 200 + [b"550 end"]))
        reply = sent(mail(server.url), Door(plain_mail=True))
    assert isinstance(reply, Reply)
    assert reply.body == b"550 end"


@pytest.mark.parametrize("verb", [b"", b"EHLO", b"AUTH", b"MAIL", b"RCPT", b"DATA", b"."])
@pytest.mark.parametrize("answer", [b"454 try later", b"535 no: p4ss:w", b"999 what", b"\xff\x00\x1b[31m", b""])
def test_no_failure_tells_the_login(authority: Authority, tmp_path, verb: bytes, answer: bytes) -> None:
    with MailServer(tls=authority.server(tmp_path), login=True) as server:
        server.says(verb, answer)
        reply = sent(mail(server.url, login=("gateway", "s3cr3t-pass")), Door(ca=authority.pem), timeout_s=0.4)
    if isinstance(reply, Reply):
        found = judged(reply)
        assert "s3cr3t" not in str(found)
        assert isinstance(found, Delivered) or found.reason.isprintable()
    else:
        assert "s3cr3t" not in str(reply)
