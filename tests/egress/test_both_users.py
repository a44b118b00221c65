"""One door for attempts and for httpx: what holds for the one holds for the other."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

import pytest

from gateway.egress import Door, Egress
from gateway.egress import names as names_module
from gateway.errors import AddressBlocked, AnswerBroken, ConnectFailed, EgressError, TimedOut
from gateway.model import Reply
from tests.egress.diverted import Diverted, Names
from tests.egress.test_addresses import BOTH, NOBODY, TABLE
from tests.egress.users import PLAIN, User, both
from tests.sink import Behaviour, Sink, answer, continue_flood, drip, hang, header_flood, raw, reset

PUBLIC = Door(public=True)
ONE_REQUEST = [("connection", "close")]
ADDRESSES = pytest.mark.parametrize(("address", "who"), TABLE, ids=[address for address, _ in TABLE])


def sent(
    user: User, *urls: str, door: Door = PLAIN, timeout_s: float = 30.0, avoid: Sequence[str] = ()
) -> list[Reply | EgressError]:
    """What becomes of one request to each url, one after the other."""

    async def main() -> list[Reply | EgressError]:
        egress = Egress()
        egress.avoid(*avoid)
        try:
            return [await user(egress, url, door, timeout_s) for url in urls]
        finally:
            await egress.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def open_sink():
    with Sink(answer(headers=ONE_REQUEST)) as sink:
        yield sink


# --- the table of addresses ---


@both
@ADDRESSES
@pytest.mark.parametrize("door", [PLAIN, PUBLIC], ids=["http", "hosted"])
def test_a_name_reaches_what_the_table_allows_and_nothing_else(
    user: User, address: str, who: str, door: Door, names: Names, diverted: Diverted, open_sink: Sink
) -> None:
    names.answer([address])
    diverted.port = open_sink.port
    [result] = sent(user, "http://hooks.test/", door=door)
    if who == BOTH or (who != NOBODY and not door.public):
        assert result.status == 200
        assert [ipaddress.ip_address(each[0]) for each in diverted.made] == [ipaddress.ip_address(address)]
    else:
        assert isinstance(result, AddressBlocked)
        assert diverted.made == []


@both
@ADDRESSES
def test_an_address_in_digits_is_reached_unless_nobody_may_have_it(
    user: User, address: str, who: str, diverted: Diverted, open_sink: Sink
) -> None:
    diverted.port = open_sink.port
    host = f"[{address}]" if ":" in address else address
    [result] = sent(user, f"http://{host}/", door=PUBLIC)
    if who == NOBODY:
        assert isinstance(result, AddressBlocked)
        assert diverted.made == []
    else:
        assert result.status == 200


@both
@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "127.1", "127.0.0.1.", "2852039166", "0", "crm.123"]
)
def test_an_odd_spelling_is_never_connected_to(user: User, host: str, names: Names, diverted: Diverted) -> None:
    names.answer(["127.0.0.1"])
    [result] = sent(user, f"http://{host}/")
    assert "odd spelling" in str(result) or str(result) == "the url cannot be used"
    assert diverted.made == []


@both
@pytest.mark.parametrize("answers", [["8.8.8.8", "169.254.169.254"], ["::ffff:169.254.169.254", "8.8.8.8"]])
def test_one_bad_address_refuses_the_name(user: User, answers: list[str], names: Names, diverted: Diverted) -> None:
    names.answer(answers)
    [result] = sent(user, "http://hooks.test/")
    assert isinstance(result, AddressBlocked)
    assert diverted.made == []


@both
@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_was_public_and_is_private_now_is_refused(
    user: User, second: str, names: Names, diverted: Diverted, open_sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "NAMES_KEPT_S", 0)
    names.answer(["8.8.8.8"], [second])
    diverted.port = open_sink.port
    first, then = sent(user, "http://hooks.test/", "http://hooks.test/", door=PUBLIC)
    assert first.status == 200
    assert isinstance(then, AddressBlocked)
    assert diverted.made == [("8.8.8.8", 80)]


@both
@pytest.mark.parametrize("door", [PLAIN, PUBLIC], ids=["http", "hosted"])
def test_while_the_name_server_fails_the_last_address_is_connected_to_and_none_that_came_between(
    user: User, door: Door, names: Names, diverted: Diverted, open_sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names_module, "NAMES_KEPT_S", 0)
    no_answer = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    names.answer(["8.8.8.8"], no_answer, ["169.254.169.254"], no_answer)
    diverted.port = open_sink.port
    first, kept, blocked, nothing = sent(user, *["http://hooks.test/"] * 4, door=door)
    assert (first.status, kept.status) == (200, 200)
    assert isinstance(blocked, AddressBlocked)
    assert str(nothing) == "the name server did not answer"
    assert diverted.made == [("8.8.8.8", 80)] * 2


@both
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "gateway.test"])
def test_the_gateway_never_sends_to_itself(user: User, host: str, names: Names) -> None:
    names.answer(["127.0.0.1"])
    with Sink() as sink:
        [result] = sent(user, f"http://{host}:{sink.port}/", avoid=[f"http://0.0.0.0:{sink.port}"])
        assert isinstance(result, AddressBlocked)
        assert sink.connections == 0


# --- the answer ---


@both
@pytest.mark.parametrize(
    ("behaviour", "fault", "reason"),
    [
        pytest.param(hang(), TimedOut, "no answer within 0.3 s", id="nothing"),
        pytest.param(drip(), TimedOut, "no answer within 0.3 s", id="a byte now and then"),
        pytest.param(header_flood(), AnswerBroken, "header is too large", id="endless headers"),
        pytest.param(continue_flood(), AnswerBroken, "interim answers", id="interim answers"),
        pytest.param(raw(b"junk\r\n\r\n"), AnswerBroken, "not HTTP", id="no HTTP"),
        pytest.param(raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n"), AnswerBroken, "101", id="101"),
        pytest.param(reset(), AnswerBroken, "reset|closed", id="a reset"),
    ],
)
def test_a_hostile_answer_is_one_failed_request_within_its_deadline(
    user: User, behaviour: Behaviour, fault: type, reason: str
) -> None:
    with Sink(behaviour) as sink:
        [result] = sent(user, sink.url, timeout_s=0.3 if fault is TimedOut else 30.0)
        assert sink.connections == 1
        assert len(sink.requests) == 1
    assert isinstance(result, fault)
    assert any(each in str(result) for each in reason.split("|"))


@both
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_the_answer(user: User, status: int) -> None:
    with Sink(answer(status, headers=[("location", "/elsewhere")])) as sink:
        [result] = sent(user, sink.url)
        assert result.status == status
        assert len(sink.requests) == 1


@both
def test_the_environment_names_no_proxy(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Sink() as sink:
        assert [each.status for each in sent(user, sink.url)] == [200]


@both
def test_a_port_that_nobody_listens_on_is_no_connection(user: User) -> None:
    [result] = sent(user, "http://127.0.0.1:1/")
    assert isinstance(result, ConnectFailed)
