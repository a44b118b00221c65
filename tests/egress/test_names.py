"""What names resolve to: how long an answer is used, who waits for whom, and that nothing unchecked gets out."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.egress import names as names_module
from gateway.egress.door import Door, Guard, Listeners
from gateway.egress.faults import NameNotResolved
from gateway.egress.names import (
    LAST_ANSWER_KEPT_S,
    MOST_ADDRESSES,
    MOST_LESS_URGENT,
    MOST_LOOKUPS,
    MOST_NAMES,
    NAMES_KEPT_S,
    PATIENCE_S,
    Addresses,
    Names,
    looked_up,
)
from gateway.errors import AddressBlocked, EgressError

PUBLIC = Door(public=True)
NO_ANSWER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
NO_SUCH_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
ONE, TWO = ["192.0.2.1"], ["192.0.2.2"]
FIRST, SECOND = ["8.8.8.8"], ["1.1.1.1"]


class Resolver:
    """Answers each lookup when it is told to, or at once if the answer was ``said`` before."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.asked: list[str] = []
        self.said: dict[str, list[str] | Exception] = {}
        self.waiting: dict[str, asyncio.Future[list[str]]] = {}
        self.names = Names(lambda: self.now, self.look_up)

    async def look_up(self, host: str) -> list[str]:
        assert host not in self.waiting
        self.asked.append(host)
        self.waiting[host] = asyncio.get_running_loop().create_future()
        if host in self.said:
            self.answer(host, self.said[host])
        try:
            return await self.waiting[host]
        finally:
            del self.waiting[host]

    def answer(self, host: str, what: list[str] | Exception) -> None:
        if isinstance(what, Exception):
            self.waiting[host].set_exception(what)
        else:
            self.waiting[host].set_result(what)

    async def resolve(self, host: str = "a.test") -> list[str]:
        return (await self.names.resolve(host)).addresses


async def settled() -> None:
    """Whatever needs no answer has happened."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(main: Callable[[Resolver], Coroutine[None, None, None]]) -> Resolver:
    async def whole() -> Resolver:
        resolver = Resolver()
        try:
            await main(resolver)
        finally:
            await resolver.names.close()
            await settled()
        return resolver

    return asyncio.run(whole())


# --- one name ---


def test_an_answer_is_used_for_30_seconds() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        assert await resolver.resolve() == ONE
        resolver.said["a.test"] = TWO
        resolver.now += NAMES_KEPT_S - 0.1
        assert await resolver.resolve() == ONE
        assert len(resolver.asked) == 1
        resolver.now += 0.1
        assert await resolver.resolve() == TWO

    assert NAMES_KEPT_S == 30
    assert len(run(main).asked) == 2


@pytest.mark.parametrize("is_known", [False, True], ids=["never answered", "answered before"])
def test_a_name_is_asked_for_once_however_many_wait_for_it(is_known: bool) -> None:
    async def main(resolver: Resolver) -> None:
        if is_known:
            resolver.said["a.test"] = ONE
            await resolver.resolve()
            resolver.said.clear()
            resolver.now += NAMES_KEPT_S
        before = len(resolver.asked)
        waiting = [asyncio.create_task(resolver.resolve()) for _ in range(100)]
        await settled()
        assert len(resolver.asked) == before + 1
        resolver.answer("a.test", TWO)
        assert await asyncio.gather(*waiting) == [TWO] * 100

    run(main)


def test_a_lookup_outlives_those_who_waited_for_it() -> None:
    async def main(resolver: Resolver) -> None:
        waiting = asyncio.create_task(resolver.resolve())
        await settled()
        waiting.cancel()
        await settled()
        resolver.answer("a.test", ONE)
        await settled()
        assert await resolver.resolve() == ONE

    assert run(main).asked == ["a.test"]


def test_the_last_answer_serves_while_the_resolver_is_silent() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        resolver.said.clear()
        resolver.now += NAMES_KEPT_S
        early = asyncio.create_task(resolver.resolve())
        await settled()
        assert not early.done()
        resolver.now += PATIENCE_S
        # From now on nobody waits, and nothing more is asked.
        for _ in range(20):
            assert await resolver.resolve() == ONE
        assert not early.done()
        assert len(resolver.asked) == 2
        resolver.answer("a.test", TWO)
        assert await early == TWO
        assert await resolver.resolve() == TWO

    assert len(run(main).asked) == 2


def test_the_first_to_find_the_resolver_silent_gets_the_last_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names_module, "PATIENCE_S", 0.01)

    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        resolver.said.clear()
        resolver.now += NAMES_KEPT_S
        assert await resolver.resolve() == ONE

    run(main)


@pytest.mark.parametrize("fault", [NO_ANSWER, OSError(24, "Too many open files"), NameNotResolved("no thread")])
def test_the_last_answer_serves_while_the_resolver_fails(fault: Exception) -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        resolver.said["a.test"] = fault
        resolver.now += NAMES_KEPT_S
        assert await resolver.resolve() == ONE
        # It is not asked again for every request.
        resolver.now += NAMES_KEPT_S - 0.1
        assert await resolver.resolve() == ONE
        assert len(resolver.asked) == 2
        resolver.said["a.test"] = TWO
        resolver.now += 0.1
        assert await resolver.resolve() == TWO

    run(main)


def test_a_last_answer_is_given_up_after_a_day() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        resolver.said["a.test"] = NO_ANSWER
        resolver.now += LAST_ANSWER_KEPT_S - NAMES_KEPT_S
        assert await resolver.resolve() == ONE
        resolver.now += NAMES_KEPT_S
        with pytest.raises(socket.gaierror):
            await resolver.resolve()

    assert LAST_ANSWER_KEPT_S == 24 * 3600
    run(main)


def test_a_name_that_no_longer_exists_has_no_last_answer() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        for fault in (NO_SUCH_NAME, NO_ANSWER):
            resolver.said["a.test"] = fault
            resolver.now += NAMES_KEPT_S
            with pytest.raises(socket.gaierror):
                await resolver.resolve()

    run(main)


# --- many names ---


async def hang(resolver: Resolver, count: int, of: str = "silent") -> list[asyncio.Task[list[str]]]:
    waiting = [asyncio.create_task(resolver.resolve(f"{n}.{of}.test")) for n in range(count)]
    await settled()
    return waiting


@pytest.mark.parametrize("count", [40, MOST_LOOKUPS - 1])
def test_names_that_hang_stand_in_front_of_no_other(count: int) -> None:
    async def main(resolver: Resolver) -> None:
        stuck = await hang(resolver, count)
        for n in range(5):
            resolver.said[f"{n}.test"] = ONE
            assert await resolver.resolve(f"{n}.test") == ONE
        assert not any(each.done() for each in stuck)

    assert len(run(main).asked) == count + 5


def test_a_name_that_was_answered_before_needs_no_lookup_when_there_are_too_many() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ONE
        await resolver.resolve()
        resolver.now += NAMES_KEPT_S
        stuck = await hang(resolver, MOST_LOOKUPS + 10)
        assert len(resolver.waiting) == MOST_LOOKUPS
        for each in stuck[MOST_LOOKUPS:]:
            with pytest.raises(NameNotResolved, match=r"2[56]\d.silent.test was not looked up: .* 256 other names"):
                await each
        assert await resolver.resolve() == ONE

    assert len(run(main).asked) == MOST_LOOKUPS + 1


@pytest.mark.parametrize("before", [ONE, NO_ANSWER], ids=["answered before", "not answered before"])
def test_however_many_names_hang_those_that_never_hung_find_a_place(before: list[str] | Exception) -> None:
    async def main(resolver: Resolver) -> None:
        hosts = [f"{n}.silent.test" for n in range(MOST_LOOKUPS + 100)]
        for host in hosts:
            resolver.said[host] = before
            await asyncio.gather(resolver.resolve(host), return_exceptions=True)
        resolver.said.clear()
        resolver.now += NAMES_KEPT_S
        stuck = await hang(resolver, len(hosts))
        assert len(resolver.waiting) == MOST_LESS_URGENT
        resolver.now += PATIENCE_S
        for n in range(5):
            resolver.said[f"{n}.test"] = TWO
            assert await resolver.resolve(f"{n}.test") == TWO
        if before is ONE:
            assert [await resolver.resolve(host) for host in hosts] == [ONE] * len(hosts)
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)

    run(main)


@pytest.mark.parametrize("said", [ONE, NO_SUCH_NAME], ids=["answered", "does not exist"])
def test_a_name_that_gets_an_answer_again_goes_first_again(said: list[str] | Exception) -> None:
    async def main(resolver: Resolver) -> None:
        for each in (NO_ANSWER, said):
            resolver.said["a.test"] = each
            await asyncio.gather(resolver.resolve(), return_exceptions=True)
        resolver.said.clear()
        resolver.now += LAST_ANSWER_KEPT_S
        stuck = await hang(resolver, MOST_LESS_URGENT)
        again = asyncio.create_task(resolver.resolve())
        await settled()
        assert "a.test" in resolver.waiting
        for each in (again, *stuck):
            each.cancel()

    run(main)


def test_answers_are_kept_for_so_many_names_and_no_more() -> None:
    async def main(resolver: Resolver) -> None:
        for n in range(MOST_NAMES + 10):
            for host, said in ((f"{n}.test", ONE), (f"{n}.silent.test", NO_ANSWER)):
                resolver.said[host] = said
                await asyncio.gather(resolver.resolve(host), return_exceptions=True)
        assert len(resolver.names._kept) == len(resolver.names._unanswered) == MOST_NAMES
        assert resolver.names.fresh("9.test") is None
        assert resolver.names.fresh("10.test") is not None
        addresses = Addresses(resolver.names, Guard(Door(), Listeners()))
        resolver.said["a.test"] = FIRST
        for port in range(MOST_NAMES + 10):
            await addresses.resolve("a.test", port)
        assert len(addresses._passed) <= MOST_NAMES

    run(main)


HOSTS = st.sampled_from([f"{n}.test" for n in range(5)])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), HOSTS),
        st.tuples(st.just("answer"), HOSTS),
        st.tuples(st.just("fail"), HOSTS),
        st.tuples(st.just("none"), HOSTS),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 29.0, 30.0, 86_000.0])),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_the_resolver_does_a_last_answer_is_there_at_once_and_is_the_last(steps: list) -> None:
    """Few lookups are in flight, one for each name, and none while an answer is fresh."""
    last: dict[str, tuple[list[str], float]] = {}

    async def ask(resolver: Resolver, host: str) -> None:
        before = len(resolver.asked)
        asking = asyncio.create_task(resolver.resolve(host))
        await settled()
        if host in last and resolver.now - last[host][1] < LAST_ANSWER_KEPT_S:
            assert asking.result() == last[host][0]
            assert len(resolver.asked) == before or resolver.now - last[host][1] >= NAMES_KEPT_S
        elif asking.done():
            assert isinstance(asking.exception(), NameNotResolved)
            assert len(resolver.waiting) >= 2
        else:
            assert host in resolver.waiting
        asking.cancel()
        assert len(resolver.waiting) <= 3

    async def main(resolver: Resolver) -> None:
        for number, (what, about) in enumerate(steps):
            if what == "wait":
                resolver.now += about
            elif what == "ask":
                await ask(resolver, about)
            elif about in resolver.waiting:
                found = [f"192.0.2.{number}"]
                resolver.answer(about, {"answer": found, "fail": NO_ANSWER, "none": NO_SUCH_NAME}[what])
                await settled()
                if what == "answer":
                    last[about] = (found, resolver.now)
                elif what == "none":
                    last.pop(about, None)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names_module, "PATIENCE_S", 0.0)
        patched.setattr(names_module, "MOST_LOOKUPS", 3)
        patched.setattr(names_module, "MOST_LESS_URGENT", 2)
        run(main)


# --- what is checked ---


def test_every_address_of_an_answer_is_written_for_libcurl() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ["8.8.8.8", "2001:4860:4860::8888"]
        addresses = Addresses(resolver.names, Guard(PUBLIC, Listeners()))
        first = await addresses.resolve("a.test", 443)
        assert first.entry == "+a.test:443:8.8.8.8,[2001:4860:4860::8888]"
        assert await addresses.resolve("a.test", 443) is first
        assert (await addresses.resolve("a.test", 80)).entry.startswith("+a.test:80:")

    assert run(main).asked == ["a.test"]


def test_doors_share_answers_and_each_checks_them() -> None:
    async def main(resolver: Resolver) -> None:
        resolver.said["a.test"] = ["10.0.0.1"]
        plain, public = (Addresses(resolver.names, Guard(door, Listeners())) for door in (Door(), PUBLIC))
        assert (await plain.resolve("a.test", 80)).entry == "+a.test:80:10.0.0.1"
        with pytest.raises(AddressBlocked):
            await public.resolve("a.test", 80)

    assert run(main).asked == ["a.test"]


@pytest.mark.parametrize("is_silent", [False, True], ids=["fresh", "while the resolver is silent"])
def test_a_kept_answer_is_checked_again_when_the_gateway_listens_elsewhere(is_silent: bool) -> None:
    async def main(resolver: Resolver) -> None:
        listeners = Listeners()
        addresses = Addresses(resolver.names, Guard(Door(), listeners))
        resolver.said["a.test"] = ["127.0.0.1"]
        await addresses.resolve("a.test", 8080)
        if is_silent:
            resolver.said["a.test"] = NO_ANSWER
            resolver.now += NAMES_KEPT_S
            await addresses.resolve("a.test", 8080)
        listeners.know(["http://127.0.0.1:8080"])
        with pytest.raises(AddressBlocked, match="the gateway itself"):
            await addresses.resolve("a.test", 8080)

    run(main)


@pytest.mark.parametrize("second", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"])
def test_a_refused_answer_is_used_no_more_and_neither_is_the_one_before(second: str) -> None:
    async def main(resolver: Resolver) -> None:
        addresses = Addresses(resolver.names, Guard(PUBLIC, Listeners()))
        resolver.said["a.test"] = FIRST
        await addresses.resolve("a.test", 80)
        resolver.said["a.test"] = [*SECOND, second]
        resolver.now += NAMES_KEPT_S
        with pytest.raises(AddressBlocked):
            await addresses.resolve("a.test", 80)
        resolver.said["a.test"] = NO_ANSWER
        with pytest.raises(socket.gaierror):
            await addresses.resolve("a.test", 80)
        # Whoever corrects the name need not wait.
        resolver.said["a.test"] = SECOND
        assert (await addresses.resolve("a.test", 80)).entry == "+a.test:80:1.1.1.1"

    run(main)


ADDRESS = st.sampled_from(["8.8.8.8", "1.1.1.1", "10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "2606:4700::1"])


@given(st.lists(st.one_of(st.lists(ADDRESS, min_size=1, max_size=3), st.just(NO_ANSWER)), max_size=12))
def test_no_answer_new_or_old_gets_past_the_guard_unchecked(answers: list) -> None:
    async def main(resolver: Resolver) -> None:
        guards = [Guard(door, Listeners()) for door in (Door(), PUBLIC)]
        behind = [Addresses(resolver.names, guard) for guard in guards]
        for said in answers:
            resolver.said["a.test"] = said
            resolver.now += NAMES_KEPT_S / 2
            for guard, addresses in zip(guards, behind, strict=True):
                await check(guard, addresses)

    async def check(guard: Guard, addresses: Addresses) -> None:
        try:
            found = await addresses.resolve("a.test", 80)
        except (socket.gaierror, AddressBlocked):
            return
        written = found.entry.removeprefix("+a.test:80:").replace("[", "").replace("]", "").split(",")
        assert written == found.answer.addresses
        guard.resolved("a.test", 80, written)

    run(main)


# --- the system's resolver ---


def looked_up_with(monkeypatch: pytest.MonkeyPatch, what: str, by: object) -> Awaitable[list[str]]:
    monkeypatch.setattr(*{"getaddrinfo": (socket, what, by), "start": (threading.Thread, what, by)}[what])

    async def main() -> list[str]:
        return await looked_up("a.test")

    return asyncio.run(main())


def test_a_name_with_more_addresses_than_can_be_checked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(*_: object, **__: object) -> list:
        return [(socket.AF_INET, 1, 6, "", (f"10.0.{n >> 8}.{n & 255}", 0)) for n in range(MOST_ADDRESSES + 1)]

    with pytest.raises(NameNotResolved, match=r"a\.test has 1025 addresses, more than 1024"):
        looked_up_with(monkeypatch, "getaddrinfo", many)


def test_a_lookup_without_a_thread_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.raises(EgressError, match="no more threads"):
        looked_up_with(monkeypatch, "start", refused)
