"""A secret's file that changes: its new content is in force by itself, no event is lost and no secret is shown."""

import asyncio
import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import load
from gateway.config.text import disk
from gateway.operate import rotation as module
from gateway.operate.reload import Reloader
from gateway.operate.rotation import Rotation
from gateway.signatures import Request
from tests.egress.certificates import Authority
from tests.sink import Behaviour, Sink, answer
from tests.world import HEAD, World, numbered, story

OLD, NEW = "token-before-the-rotation", "token-after-the-rotation"
ROUTE = "routes: [{name: all, to: crm, body: {id: '{{ attrs.id }}'}}]\n"


def guarded(sink: Sink, **options: object) -> str:
    destination = json.dumps({"url": f"{sink.url}/crm", "auth": {"bearer": "${file:token}"}, **options})
    return f"destinations: {{crm: {destination}}}\n{ROUTE}"


class Login(Sink):
    """A destination that accepts one token and answers any other with 401."""

    def __init__(self, accepted: str = OLD) -> None:
        super().__init__(Behaviour(self._answer))
        self.accepted = accepted

    async def _answer(self, wire) -> bool:
        is_right = self.requests[-1].headers["authorization"] == f"Bearer {self.accepted}"
        # Some repeat what they were sent.
        return await answer(200 if is_right else 401, self.requests[-1].headers["authorization"].encode()).run(wire)

    @property
    def tokens(self) -> list[str]:
        return [request.headers["authorization"].removeprefix("Bearer ") for request in self.requests]


class Rotating(World):
    """A world that looks at its secrets when the test says so; ``logged`` are the lines it wrote."""

    def __init__(self, folder: Path, text: str, token: str = OLD) -> None:
        (folder / "token").write_text(f"{token}\n")
        super().__init__(folder, text)

    async def __aenter__(self) -> "Rotating":
        await super().__aenter__()
        self.reloader = Reloader(self.gateway, self.dispatcher, lambda: load(self.folder / "routes.yaml", environ={}))
        self.rotation = Rotation(self.gateway, self.dispatcher, self.reloader, self.folder)
        self.dispatcher.attempts.look_for_login = self.rotation.look_now
        return self

    async def look(self) -> None:
        """Long enough for what has changed to be in force."""
        for _ in range(3):
            await self.rotation.look()

    @property
    def token(self) -> str:
        return self.gateway.config.destinations["crm"].target.auth[1].removeprefix("Bearer ")


def of(logged, name):
    return [fields for event, fields in logged if event == name]


# --- however it is written ---


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def renamed(path: Path, text: str) -> None:
    beside = path.with_name(".new")
    beside.write_text(text)
    beside.replace(path)


def as_kubernetes_does(path: Path, text: str) -> None:
    """The file is a link through ``..data``, which is replaced by a link to another folder; the old one is removed."""
    folder = path.parent
    data, before = folder / "..data", (folder / "..data").resolve()
    version = folder / f"..{len(list(folder.glob('..20*'))) + 2000}"
    version.mkdir()
    (version / path.name).write_text(text)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").replace(data)
    if not path.is_symlink():
        path.unlink(missing_ok=True)
        path.symlink_to(f"..data/{path.name}")
    if before.is_dir() and before != folder / "..data":
        (before / path.name).unlink()


WAYS = [in_place, renamed, as_kubernetes_does]


@pytest.mark.parametrize("write", WAYS)
@story
async def test_a_changed_file_is_in_force_without_a_reload(tmp_path, logged, write):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            for number, token in enumerate([OLD, NEW, "a-third-token"]):
                write(tmp_path / "token", f"{token}\n")
                await world.look()
                sink.accepted = token
                await world.receive(numbered(number))
                await world.turn()
    assert sink.tokens == [OLD, NEW, "a-third-token"]
    assert of(logged, "secret.reloaded")[-2:] == [{"files": ["token"], "changed": "1 destination changed (crm)"}] * 2
    assert of(logged, "config.reloaded") == []


@pytest.mark.parametrize("write", WAYS)
@story
async def test_a_token_that_is_refused_is_read_again_before_the_next_attempt(tmp_path, write):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink, retry="none")) as world:
            write(tmp_path / "token", NEW)
            sink.accepted = NEW
            event = (await world.receive()).event_id
            # The clock stands still.
            await world.turn()
            delivery = await world.delivery(event)
            assert (delivery.state, delivery.attempts) == ("delivered", 2)
            assert world.dispatcher.holds.health("crm") == ""
    assert sink.tokens == [OLD, NEW]


@story
async def test_many_that_were_on_their_way_with_the_old_token_are_all_delivered_and_nothing_is_paused(tmp_path):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink, retry="none", concurrency=1)) as world:
            events = [(await world.receive(numbered(number))).event_id for number in range(20)]
            sink.accepted = NEW
            renamed(tmp_path / "token", NEW)
            await world.turn()
            assert {(await world.delivery(event)).state for event in events} == {"delivered"}
            assert world.dispatcher.holds.standing("crm").paused is None
    assert sink.tokens.count(OLD) <= 2


@story
async def test_what_was_built_before_the_rotation_and_refused_after_it_does_not_count(tmp_path):
    with Sink(answer(401, after_s=0.2), answer(200)) as sink:
        async with Rotating(tmp_path, guarded(sink, retry="none")) as world:
            event = (await world.receive()).event_id
            await asyncio.to_thread(sink.wait_for, 1)
            renamed(tmp_path / "token", NEW)
            await world.look()
            await world.turn()
            assert (await world.delivery(event)).state == "delivered"


@story
async def test_a_token_that_stays_wrong_is_retried_as_ever(tmp_path):
    with Login(accepted="something else") as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            event = (await world.receive()).event_id
            await world.turn()
            delivery = await world.delivery(event)
            assert (delivery.state, delivery.attempts) == ("pending", 1)


@story
async def test_a_senders_secret_is_read_again(tmp_path):
    text = (
        HEAD.replace("secret: s3cret", "secret: '${file:secret}'")
        + f"destinations: {{crm: {{url: http://127.0.0.1:9, paused: true}}}}\n{ROUTE}"
    )
    (tmp_path / "secret").write_text("before")
    async with Rotating(tmp_path, text) as world:
        old = world.gateway.config.sources["xobito"].verifier
        renamed(tmp_path / "secret", "after")
        await world.look()
        new = world.gateway.config.sources["xobito"].verifier
        assert old is not new
        await world.receive()
        request = Request(headers=[], body=b"{}")
        assert old.sign(request, 0, "").headers != new.sign(request, 0, "").headers


# --- what is not to be used ---


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text(""), "file:token (empty, line 3)"),
        (lambda path: path.write_text("\n"), "file:token (empty, line 3)"),
        (lambda path: path.unlink(), "file:token (no such file or directory, line 3)"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "file:token (not UTF-8 text, line 3)"),
        (lambda path: path.write_text("x" * 70_000), "file:token (more than 64 KiB, line 3)"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "file:token (not a regular file, line 3)"),
        (lambda path: path.write_text("in two\nlines"), "auth contains a line break"),
    ],
    ids=["empty", "an empty line", "gone", "binary", "large", "a pipe", "two lines"],
)
@story
async def test_a_file_that_cannot_be_used_keeps_the_old_secret_and_says_so_once(tmp_path, logged, spoil, said):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            spoil(tmp_path / "token")
            for _ in range(3):
                await world.look()
            assert world.token == OLD
            [line] = of(logged, "secret.rejected")
            assert said in line["problems"][0]
            (tmp_path / "token").unlink(missing_ok=True)
            (tmp_path / "token").write_text(NEW)
            await world.look()
            assert world.token == NEW
            assert len(of(logged, "secret.rejected")) == 1
            assert world.reloader.rejection is None


@story
async def test_a_file_that_is_being_written_is_not_used_before_it_rests(tmp_path, logged):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            for end in range(len(NEW)):
                (tmp_path / "token").write_text(NEW[:end])
                await world.rotation.look()
                assert world.token == OLD
            await world.look()
            assert world.token == NEW[:-1]
    assert of(logged, "secret.rejected") == []


@pytest.mark.parametrize("saved", ["nonsense: 1\n", "[", "destinations: {other: {url: 'http://127.0.0.1:9'}}\n"])
@story
async def test_nothing_else_that_was_saved_takes_effect_with_a_secret(tmp_path, saved):
    (tmp_path / "templates").mkdir()
    template, included = tmp_path / "templates/crm.json.j2", tmp_path / "more.yaml"
    template.write_text('{"text": "as it was"}')
    included.write_text("vars: {a: 1}\n")
    with Login() as sink:
        text = guarded(sink).replace("body: {id: '{{ attrs.id }}'}", "template: crm.json.j2") + "include: more.yaml\n"
        async with Rotating(tmp_path, text) as world:
            revision = world.gateway.config.revision
            (tmp_path / "routes.yaml").write_text(HEAD + saved)
            template.unlink()
            included.unlink()
            renamed(tmp_path / "token", NEW)
            await world.look()
            assert world.gateway.config.revision == revision
            sink.accepted = NEW
            await world.receive()
            await world.turn()
    assert sink.tokens == [NEW]
    assert json.loads(sink.requests[0].body) == {"text": "as it was"}


@story
async def test_a_certificate_is_read_again(tmp_path):
    first, second = Authority().pem, Authority().pem
    (tmp_path / "ca.pem").write_text(first)
    text = f"destinations: {{crm: {{url: https://crm.example.com, tls: {{ca: ca.pem}}}}}}\n{ROUTE}"
    async with Rotating(tmp_path, text) as world:
        renamed(tmp_path / "ca.pem", second)
        await world.look()
        assert world.gateway.config.destinations["crm"].door.ca.strip() == second.strip()


# --- what was held for the old secret ---


@story
async def test_a_destination_that_was_held_for_its_login_goes_on_with_the_new_one(tmp_path):
    with Login(accepted=NEW) as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            events = [(await world.receive(numbered(number))).event_id for number in range(5)]
            await world.turn()
            assert world.dispatcher.holds.health("crm") != ""
            renamed(tmp_path / "token", NEW)
            await world.look()
            await world.later(3600)
            assert {(await world.delivery(event)).state for event in events} == {"delivered"}


@story
async def test_a_destination_that_a_person_paused_stays_paused(tmp_path):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            await world.operations.pause("crm", by="ann", reason="their migration")
            renamed(tmp_path / "token", NEW)
            await world.look()
            assert world.token == NEW
            assert world.dispatcher.holds.is_paused("crm")


# --- never shown ---


@story
async def test_neither_secret_is_in_the_log_the_store_or_what_is_printed(tmp_path, logged):
    with Login(accepted="nothing") as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            event = (await world.receive()).event_id
            await world.turn()
            renamed(tmp_path / "token", NEW)
            await world.look()
            await world.later(3600)
            assert NEW in sink.tokens
            masks = world.gateway.config.masks
            assert masks.text(f"{OLD} {NEW}") == "*** ***"
            said = f"{logged} {await world.store.event(event)} {world.gateway.config!r}"
            assert OLD not in said
            assert NEW not in said


# --- what it costs ---


@pytest.fixture
def counted(monkeypatch):
    """How often the files were looked at, and how often a value was read."""
    counts = {"looks": 0, "reads": 0}
    look, read = module._looks, disk._read

    def looks(*given):
        counts["looks"] += 1
        return look(*given)

    def reads(*given):
        counts["reads"] += 1
        return read(*given)

    monkeypatch.setattr(module, "_looks", looks)
    monkeypatch.setattr(disk, "_read", reads)
    return counts


@story
async def test_a_file_that_nobody_writes_is_not_read(tmp_path, counted):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            counted["reads"] = 0
            for _ in range(10):
                await world.rotation.look()
    assert counted == {"looks": 10, "reads": 0}


@story
async def test_a_file_that_was_only_touched_is_read_once_and_nothing_is_said(tmp_path, counted, logged):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            counted["reads"] = 0
            renamed(tmp_path / "token", OLD)
            for _ in range(5):
                await world.look()
    assert counted["reads"] == 1
    assert of(logged, "secret.reloaded") == []


@story
async def test_a_file_whose_look_never_settles_for_what_was_read_is_read_once(tmp_path, counted, monkeypatch):
    """As on a file system that says one thing of an open file and another of its path."""
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            counted["reads"] = 0
            monkeypatch.setattr(module, "look_of", lambda status: (0, 0, 0, status.st_size))
            for _ in range(5):
                await world.look()
    assert counted["reads"] == 1


@story
async def test_those_who_are_refused_at_once_share_a_look(tmp_path, counted):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            await asyncio.gather(*(world.rotation.look_now() for _ in range(50)))
            assert counted["looks"] == 1
            await world.rotation.look_now()
            assert counted["looks"] == 2


@story
async def test_without_such_a_file_nothing_is_looked_at(tmp_path, counted):
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink, auth={"bearer": OLD})) as world:
            await world.look()
            await world.rotation.look_now()
    assert counted["looks"] == 0


@story
async def test_a_disk_that_hangs_does_not_hold_an_attempt(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    with Login() as sink:
        async with Rotating(tmp_path, guarded(sink)) as world:
            async with world.rotation._one_at_a_time:
                await world.rotation.look_now()
            assert world.token == OLD


# --- whatever happens to the file ---

STEPS = st.lists(st.sampled_from(["look", "now", "a", "bb", "", None, "rename ccc"]), max_size=10)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_in_the_end_the_last_usable_content_is_in_force(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("rotation")
    path, ticks = folder / "token", itertools.count(1)
    path.write_text("first")
    text = "destinations: {crm: {url: http://127.0.0.1:9, auth: {bearer: '${file:token}'}}}\n" + ROUTE
    (folder / "routes.yaml").write_text(HEAD + text)
    gateway = SimpleNamespace(config=load(folder / "routes.yaml", environ={}), clock=lambda: 0.0)
    holds = SimpleNamespace(standing=lambda _: SimpleNamespace(paused=None, circuit="closed"))
    dispatcher = SimpleNamespace(reconfigured=lambda: None, holds=holds)
    rotation = Rotation(gateway, dispatcher, Reloader(gateway, dispatcher, gateway.config.reread), folder)

    def value() -> str:
        return gateway.config.destinations["crm"].target.auth[1].removeprefix("Bearer ")

    async def scenario():
        possible = {"first"}
        for step in [*steps, "look", "look", "look"]:
            if step in ("look", "now"):
                await (rotation.look() if step == "look" else rotation.look_now())
                assert value() in possible
                continue
            if step is None:
                path.unlink(missing_ok=True)
                continue
            (renamed if " " in step else in_place)(path, step.rpartition(" ")[2])
            # The steps of this test are closer together than the ticks of a file system's clock.
            os.utime(path, ns=(next(ticks), next(ticks)))
            possible |= {step.rpartition(" ")[2]} - {""}
        content = path.read_text() if path.exists() else ""
        if content:
            assert value() == content

    asyncio.run(scenario())
