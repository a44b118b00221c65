"""Where connections go: exactly to the address that was looked at, over TLS that was verified, through a door of one's own."""

import asyncio
import ipaddress
import ssl
from pathlib import Path

import pytest

from gateway import egress as egress_module
from gateway.config import load
from gateway.egress import Door, Egress
from gateway.egress import names as names_module
from gateway.egress.door import Guard, Listeners, certificates
from gateway.errors import AddressBlocked, ConnectFailed, EgressError
from gateway.model import HttpRequest, Reply
from tests.egress.certificates import Authority
from tests.egress.diverted import Diverted, Names
from tests.egress.opening import opened
from tests.sink import Sink, answer

LONG_S = 30.0
PUBLIC = Door(public=True)
ONE_REQUEST = [("connection", "close")]


def post(url: str) -> HttpRequest:
    return HttpRequest(method="POST", url=url, headers=(("webhook-id", "dlv_1"),), body=b"{}")


def with_egress(main):
    async def run():
        egress = Egress()
        try:
            return await main(egress)
        finally:
            await egress.close()

    return asyncio.run(run())


async def attempt(egress: Egress, url: str, door: Door = Door()) -> Reply | EgressError:  # noqa: B008  a frozen value
    try:
        return await egress.send(post(url), timeout_s=LONG_S, door=door)
    except EgressError as error:
        return error


def sent(url: str, door: Door = Door()) -> Reply | EgressError:  # noqa: B008  a frozen value
    return with_egress(lambda egress: attempt(egress, url, door))


# --- names ---


def test_a_name_may_stand_for_this_network_unless_the_service_is_hosted(names: Names) -> None:
    names.answer(["127.0.0.1"])
    with Sink() as sink:
        url = f"http://crm.test:{sink.port}/"
        assert sent(url).status == 200
        blocked = sent(url, PUBLIC)
        assert isinstance(blocked, AddressBlocked)
        assert len(sink.requests) == 1


def test_exactly_the_address_that_was_looked_at_is_connected_to(names: Names, diverted: Diverted) -> None:
    names.answer(["8.8.8.8"])

    async def main(egress: Egress) -> list[tuple]:
        diverted.port = sink.port
        assert (await attempt(egress, "http://hooks.test/", PUBLIC)).status == 200
        return diverted.made

    with Sink() as sink:
        assert with_egress(main) == [("8.8.8.8", 80)]
    assert names.asked == ["hooks.test"]


@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_name_that_is_public_first_and_private_then_is_refused_at_the_second_answer(
    names: Names, second: str, monkeypatch: pytest.MonkeyPatch, diverted: Diverted
) -> None:
    monkeypatch.setattr(names_module, "NAMES_KEPT_S", 0)
    names.answer(["8.8.8.8"], [second])

    async def main(egress: Egress) -> list[tuple]:
        diverted.port = sink.port
        assert (await attempt(egress, "http://hooks.test/", PUBLIC)).status == 200
        again = await attempt(egress, "http://hooks.test/", PUBLIC)
        assert isinstance(again, AddressBlocked)
        assert f"hooks.test is {ipaddress.ip_address(second)}, " in str(again)
        return diverted.made

    with Sink(answer(headers=ONE_REQUEST)) as sink:
        assert with_egress(main) == [("8.8.8.8", 80)]
        assert len(sink.requests) == 1
    assert names.asked == ["hooks.test"] * 2


def test_an_answer_that_is_kept_is_the_one_that_was_looked_at(names: Names, diverted: Diverted) -> None:
    names.answer(["8.8.8.8"], ["127.0.0.1"])

    async def main(egress: Egress) -> list[tuple]:
        diverted.port = sink.port
        for _ in range(3):
            assert (await attempt(egress, "http://hooks.test/", PUBLIC)).status == 200
        return diverted.made

    with Sink(answer(headers=ONE_REQUEST)) as sink:
        assert with_egress(main) == [("8.8.8.8", 80)] * 3
    assert names.asked == ["hooks.test"]


@pytest.mark.parametrize("door", [Door(), PUBLIC], ids=["http", "hosted"])
@pytest.mark.parametrize("answers", [["8.8.8.8", "169.254.169.254"], ["169.254.169.254", "8.8.8.8"]])
def test_a_name_with_a_metadata_address_among_others_is_never_connected_to(
    names: Names, door: Door, answers: list[str], diverted: Diverted
) -> None:
    names.answer(answers)

    async def main(egress: Egress) -> list[tuple]:
        assert isinstance(await attempt(egress, "http://hooks.test/", door), AddressBlocked)
        return diverted.made

    assert with_egress(main) == []


@pytest.mark.parametrize("host", ["169.254.169.254", "0.0.0.0", "[::]", "[::ffff:169.254.169.254]", "[fe80::1]"])
@pytest.mark.parametrize("door", [Door(), PUBLIC], ids=["http", "hosted"])
def test_a_forbidden_address_in_digits_is_never_connected_to(host: str, door: Door, diverted: Diverted) -> None:
    async def main(egress: Egress) -> list[tuple]:
        assert isinstance(await attempt(egress, f"http://{host}/latest/meta-data", door), AddressBlocked)
        return diverted.made

    assert with_egress(main) == []


@pytest.mark.parametrize("host", ["0x7f.1", "0x7f000001", "0177.0.0.0x1"])
def test_an_odd_spelling_is_blocked_before_it_is_connected_to(host: str) -> None:
    blocked = sent(f"http://{host}:1/")
    assert isinstance(blocked, AddressBlocked)
    assert "write 127.0.0.1 into url" in str(blocked)


def test_localhost_and_addresses_in_digits_are_the_operators_word_also_for_a_hosted_service() -> None:
    with Sink() as sink:
        assert sent(sink.url, PUBLIC).status == 200
        assert sent(f"http://localhost:{sink.port}", PUBLIC).status == 200


# --- the gateway itself ---


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0", "[::]"])
@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "gateway.test", "localhost"])
def test_the_gateway_never_sends_to_itself(names: Names, bound: str, host: str) -> None:
    names.answer(["127.0.0.1"])

    async def main(egress: Egress) -> Reply | EgressError:
        egress.avoid(f"http://{bound}:{sink.port}", "http://127.0.0.1:1")
        return await attempt(egress, f"http://{host}:{sink.port}/in/xobito")

    with Sink() as sink:
        blocked = with_egress(main)
        assert sink.connections == 0
    assert isinstance(blocked, AddressBlocked)
    assert "is the gateway itself: write the receiver's address into url" in str(blocked)


def test_what_listens_beside_the_gateway_is_reached() -> None:
    async def main(egress: Egress) -> Reply | EgressError:
        egress.avoid(f"http://0.0.0.0:{sink.port - 1}", f"http://127.0.0.2:{sink.port}")
        return await attempt(egress, sink.url)

    with Sink() as sink:
        assert with_egress(main).status == 200


def test_of_a_listener_at_every_address_the_addresses_of_other_machines_are_no_part() -> None:
    listeners = Listeners()
    listeners.know(["http://0.0.0.0:8080"])
    Guard(Door(), listeners).connecting("8.8.8.8", 8080)
    with pytest.raises(AddressBlocked):
        Guard(Door(), listeners).connecting("127.0.0.9", 8080)


# --- doors and their connections ---


def test_destinations_with_other_doors_share_no_connection() -> None:
    async def main(egress: Egress) -> None:
        for door in (Door(), PUBLIC, Door(ca=authority), Door(public=True, ca=authority)) * 2:
            assert (await attempt(egress, sink.url, door)).status == 200

    authority = Authority().pem
    with Sink() as sink:
        with_egress(main)
        assert (sink.connections, len(sink.requests)) == (4, 8)


def test_a_change_of_other_things_keeps_the_connections_of_a_destination(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(Authority().pem)
    path = tmp_path / "routes.yaml"

    def door(**more: str) -> Door:
        keys = "".join(f", {name}: {value}" for name, value in more.items())
        path.write_text(
            "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
            f"destinations: {{crm: {{url: https://127.0.0.1:1/x, tls: {{ca: ca.pem}}{keys}}}}}\nroutes: [{{to: crm}}]\n"
        )
        return load(path, environ={}).destinations["crm"].door

    async def main(egress: Egress) -> None:
        for each in (first, second, first):
            await attempt(egress, sink.url, each)

    first = door()
    (tmp_path / "ca.pem").write_text(f"# the same, with a comment\n{(tmp_path / 'ca.pem').read_text()}")
    second = door(timeout="3s", concurrency="2", headers="{x-a: b}")
    with Sink() as sink:
        with_egress(main)
        assert sink.connections == 1
    assert door(public="false") == first
    (tmp_path / "ca.pem").write_text(Authority().pem)
    assert door() != first


def test_a_replaced_certificate_changes_the_revision(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(
        "version: 1\nsources: {xobito: {preset: xobito, secret: s}}\n"
        "destinations: {crm: {url: https://crm.example, tls: {ca: ca.pem}}}\nroutes: [{to: crm}]\n"
    )
    revisions = []
    for _ in range(2):
        (tmp_path / "ca.pem").write_text(Authority().pem)
        revisions.append(load(path, environ={}).revision)
    assert revisions[0] != revisions[1]


def test_connections_that_nobody_uses_any_more_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress_module, "UNUSED_S", -1.0)

    async def main(egress: Egress) -> set[Door]:
        await attempt(egress, sink.url)
        hanging = asyncio.create_task(attempt(egress, f"{sink.url}/slow", PUBLIC))
        await asyncio.to_thread(sink.wait_for, 2)
        await attempt(egress, sink.url, Door(ca=Authority().pem))
        kept = set(egress._ways)
        assert (await hanging).status == 200
        return kept

    with Sink() as sink:
        sink.at("/slow", answer(after_s=0.3))
        kept = with_egress(main)
    assert PUBLIC in kept
    assert Door() not in kept


def test_what_is_open_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(egress: Egress) -> None:
        await opened(egress, [Door(), PUBLIC])
        monkeypatch.setattr(egress_module, "_load", None)
        assert (await attempt(egress, sink.url)).status == 200
        assert (await attempt(egress, sink.url, PUBLIC)).status == 200

    with Sink() as sink:
        with_egress(main)


# --- TLS ---


def test_an_authority_of_ones_own_vouches_for_its_servers(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:
        assert sent(sink.url, Door(ca=authority.pem)).status == 200


def test_a_server_that_signed_its_certificate_itself_can_be_named(tmp_path: Path, names: Names) -> None:
    authority = Authority("crm.test")
    with Sink(tls=authority.itself(tmp_path)) as sink:
        refused = sent(sink.url, Door(ca=authority.pem))
    # It vouches for itself, and is asked for its name all the same.
    assert isinstance(refused, ConnectFailed)
    assert "TLS: the certificate is for another host" in str(refused)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        pytest.param({"host": "other.example"}, "TLS: the certificate is for another host", id="wrong name"),
        pytest.param({"host": "10.0.0.1"}, "TLS: the certificate is for another host", id="wrong address"),
        pytest.param({"expired": True}, "TLS: certificate has expired", id="expired"),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused_in_words(tmp_path: Path, options, reason: str) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path, **options)) as sink:
        refused = sent(sink.url, Door(ca=authority.pem))
        assert sink.requests == []
    assert isinstance(refused, ConnectFailed)
    assert str(refused).startswith(reason)


def test_an_authority_is_trusted_by_its_own_destination_only(tmp_path: Path) -> None:
    authority = Authority()
    with Sink(tls=authority.server(tmp_path)) as sink:

        async def main(egress: Egress) -> list:
            doors = (Door(ca=authority.pem), Door(), Door(ca=Authority().pem))
            return [await attempt(egress, sink.url, door) for door in doors]

        taken, system, other = with_egress(main)
    assert taken.status == 200
    assert "TLS: " in str(system)
    assert "TLS: " in str(other)


def test_a_server_that_shows_a_certificate_signed_by_itself_is_refused(tmp_path: Path) -> None:
    with Sink(tls=Authority().itself(tmp_path)) as sink:
        assert str(sent(sink.url)).startswith("TLS: ")


def test_tls_below_1_2_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    server = authority.server(tmp_path)
    with pytest.warns(DeprecationWarning):
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    server.set_ciphers("ALL:@SECLEVEL=0")
    with Sink(tls=server) as sink:
        refused = sent(sink.url, Door(ca=authority.pem))
        assert sink.requests == []
    assert isinstance(refused, ConnectFailed)


def test_of_a_file_its_certificates_alone_are_kept() -> None:
    first, second = Authority().pem, Authority().pem
    found = certificates(
        f"comment\n-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n{first}{second}".encode()
    )
    assert found.split() == (first + second).split()
    assert "PRIVATE" not in found
    assert found not in repr(Door(ca=found))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"-----BEGIN CERTIFICATE-----\nnonsense!\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ],
)
def test_a_file_without_a_certificate_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        certificates(data)
