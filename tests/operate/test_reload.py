"""Another file: what is said about it, when it is noticed, and what happens to what was on its way."""

import asyncio
import hashlib
import itertools
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import telemetry
from gateway.config import load
from gateway.errors import ConfigError, StoreUnavailable
from gateway.operate.reload import Reloader
from gateway.operate.watch import Watch
from gateway.routing import changes
from tests.sink import Sink, answer, hang
from tests.world import World

HEAD = "version: 1\nsources:\n  xobito: {preset: xobito, secret: s3cret}\n"
FILE = (
    HEAD
    + """
destinations:
  crm: {url: "http://127.0.0.1:9/crm", timeout: 5s}
  slack: {type: slack, url: "https://hooks.slack.com/services/T1/B1/abcdefgh"}
always:
  - {to: crm, name: everything}
routes:
  - name: new-lead
    match: contact.created
    where: {attrs.type: lead}
    to: slack
    text: New {{ attrs.firstname }}
  - name: to-crm
    match: [contact.created, contact.updated]
    to: crm
    path: /contacts/{{ attrs.id }}
    headers: {x-note: "{{ event.type }}"}
    body: {id: "{{ attrs.id }}", tags: [new, "{{ attrs.type }}"], age: 1}
  - name: from-a-file
    match: contact.deleted
    to: crm
    template: crm.json.j2
"""
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/crm.json.j2").write_text('{"id": {{ attrs.id }}}')
    return tmp_path


def loaded(folder: Path, text: str):
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ={})


# --- what changed ---


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("New {{", "Newer {{", "1 route changed (new-lead)"),
        ("attrs.type: lead", "attrs.type: partner", "1 route changed (new-lead)"),
        ("match: contact.deleted", "match: contact.*", "1 route changed (from-a-file)"),
        ("/contacts/", "/contact/", "1 route changed (to-crm)"),
        ("{{ event.type }}", "{{ event.id }}", "1 route changed (to-crm)"),
        ("{{ attrs.type }}", "{{ attrs.phone }}", "1 route changed (to-crm)"),
        ("age: 1", "age: 2", "1 route changed (to-crm)"),
        ("age: 1", "age: true", "1 route changed (to-crm)"),
        ("[new, ", "[old, ", "1 route changed (to-crm)"),
        ("name: to-crm", "name: to-the-crm", "1 route added (to-the-crm), 1 route removed (to-crm)"),
        ("timeout: 5s", "timeout: 6s", "1 destination changed (crm)"),
        ("abcdefgh", "abcdefgi", "1 destination changed (slack)"),
        ("s3cret", "s4cret", "1 source changed (xobito)"),
        (
            "destinations:",
            "  other: {preset: xobito, secret: x}\ndestinations:\n  new: {url: http://127.0.0.1:9}",
            "1 source added (other), 1 destination added (new)",
        ),
        ("destinations:", "retention: {events: 7d}\ndestinations:", "retention changed"),
        (
            "destinations:",
            "trusted_proxies: 10.0.0.1\ndestinations:",
            "trusted proxies or shares changed",
        ),
        ("s3cret", "s3cret, redact: attrs.email", "1 source changed (xobito)"),
        ("version: 1", "# a comment\n\nversion: 1", "nothing"),
    ],
)
def test_a_change_is_named(folder, before, after, said):
    assert FILE.count(before) == 1 or before == "version: 1"
    old = loaded(folder, FILE)
    assert changes.changed(old, loaded(folder, FILE.replace(before, after, 1))) == said


def test_a_change_of_a_template_file_is_named_after_its_route(folder):
    old = loaded(folder, FILE)
    (folder / "templates/crm.json.j2").write_text('{"id": "{{ attrs.id }}"}')
    assert changes.changed(old, loaded(folder, FILE)) == "1 route changed (from-a-file)"


def test_another_order_of_routes_is_said(folder):
    one, two = "  - {name: one, to: crm}\n", "  - {name: two, to: crm}\n"
    head = HEAD + "destinations: {crm: {url: http://127.0.0.1:9}}\nroutes:\n"
    assert changes.changed(loaded(folder, head + one + two), loaded(folder, head + two + one)) == (
        "the order of routes changed"
    )


ALL_OF_IT = """
vars: {names: {a: Alice}}
conditions: {vip: {attrs.company: Demo Co}}
destinations: {crm: {url: "http://127.0.0.1:9", sign: {preset: github, secret: 5c1f0e8a9b7d42e6a1c3}}}
routes:
  - {name: named, to: crm, where: {is: vip}}
  - {name: iffy, to: crm, if: attrs.type == "lead"}
  - {name: ops, to: crm, where: {not: {attrs.id: {gt: 3}}, attrs.phone: {regex: "^1"}}}
  - name: many
    send: [{to: crm, body: {a: 1, b: "{{ vars.names.a }}"}}, {to: crm, body: {a: 2}}]
"""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("Demo Co", "Other Co", "1 route changed (named)"),
        ('"lead"', '"partner"', "1 route changed (iffy)"),
        ("gt: 3", "gt: 4", "1 route changed (ops)"),
        ('"^1"', '"^2"', "1 route changed (ops)"),
        ("a: 2", "a: 3", "1 route changed (many/2)"),
        ("Alice", "Bob", "1 variable changed (names)"),
        ("5c1f0e8a9b7d42e6a1c3", "another-secret-of-it", "1 destination changed (crm)"),
        ("preset: github", "preset: xobito", "1 destination changed (crm)"),
        ("Alice", "Alice", "nothing"),
        ("routes:", "always:", "6 routes changed (named, iffy, ops, many, many/1, many/2)"),
    ],
)
def test_a_change_of_any_part_of_the_language_is_named(folder, before, after, said):
    old = loaded(folder, HEAD + ALL_OF_IT)
    assert changes.changed(old, loaded(folder, HEAD + ALL_OF_IT.replace(before, after))) == said


def test_a_disabled_destination_can_no_longer_be_sent_to(folder):
    old = loaded(folder, FILE)
    new = loaded(folder, FILE.replace("timeout: 5s", "timeout: 5s, enabled: false"))
    assert "1 destination removed (crm)" in changes.changed(old, new)
    assert ("to-crm", "crm") in changes.gone(old, new)


def test_a_long_list_of_names_is_cut(folder):
    routes = "".join(f"  - {{name: r{number}, to: crm}}\n" for number in range(30))
    head = HEAD + "destinations: {crm: {url: http://127.0.0.1:9}}\nroutes:\n"
    assert changes.changed(loaded(folder, head + "  []\n"), loaded(folder, head + routes)) == (
        "30 routes added (r0, r1, r2, r3, r4, r5, r6, r7 and 22 more)"
    )


def test_what_can_no_longer_be_sent_is_known(folder):
    old = loaded(folder, FILE)
    new = loaded(
        folder, FILE.replace("name: to-crm", "name: to-the-crm").replace("to: crm, name", "to: slack, text: x, name")
    )
    assert changes.gone(old, new) == {("to-crm", "crm"), ("everything", "crm")}


# --- when it is noticed ---


def settled(watch: Watch) -> list[bool]:
    return [watch.poll() for _ in range(4)]


#: One report, and not before nothing has moved for one poll.
ONCE = [False, True, False, False]
NEVER = [False] * 4


def test_nothing_is_noticed_when_nothing_happens(folder):
    loaded(folder, FILE)
    assert settled(Watch(folder / "routes.yaml")) == NEVER


def rename_on_save(path: Path, text: str) -> None:
    beside = path.with_name(".saving")
    beside.write_text(text)
    beside.replace(path)


def delete_and_create(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("save", [Path.write_text, rename_on_save, delete_and_create])
@pytest.mark.parametrize(
    "name", ["routes.yaml", "routes.d/more.yaml", "templates/slack/a.json.j2", "templates/b.txt.j2"]
)
def test_however_a_file_is_saved_it_is_noticed_once(folder, save, name):
    loaded(folder, FILE)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("the content before")
    watch = Watch(folder / "routes.yaml")
    watch.follow({}, ["routes.d/*.yaml"])
    save(folder / name, "another content")
    assert settled(watch) == ONCE
    save(folder / name, "another content")
    assert settled(watch) == NEVER, "the content is the same"
    save(folder / name, "a third content")
    assert settled(watch) == ONCE


def test_the_same_size_and_time_do_not_hide_another_content(folder):
    loaded(folder, FILE)
    path = folder / "routes.yaml"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    watch = Watch(path)
    path.write_text(FILE.replace("New", "Old"))
    os.utime(path, ns=times)
    assert settled(watch) == ONCE


def test_a_save_that_goes_on_is_not_reported_before_its_end(folder):
    loaded(folder, FILE)
    watch = Watch(folder / "routes.yaml")
    reports = []
    for end in range(10, 60, 10):
        (folder / "routes.yaml").write_text(FILE[:end])
        reports.append(watch.poll())
    assert reports == [False] * 5
    assert settled(watch)[0] is True


def test_a_file_that_goes_and_one_that_comes_are_noticed(folder):
    loaded(folder, FILE)
    watch = Watch(folder / "routes.yaml")
    (folder / "templates/crm.json.j2").unlink()
    assert settled(watch) == ONCE
    (folder / "templates/crm.json.j2").write_text("{}")
    assert settled(watch) == ONCE
    (folder / "routes.yaml").unlink()
    assert settled(watch) == ONCE
    (folder / "templates/crm.json.j2").unlink()
    (folder / "templates").rmdir()
    assert settled(watch) == ONCE


def test_a_file_that_came_back_as_it_was_is_no_change(folder):
    loaded(folder, FILE)
    watch = Watch(folder / "routes.yaml")
    (folder / "routes.yaml").unlink()
    assert watch.poll() is False
    loaded(folder, FILE)
    assert settled(watch) == NEVER


def including(folder, pattern, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("routes: [{name: more, to: crm}]\n")
    return loaded(folder, f"{FILE}include: {pattern}\n")


@pytest.mark.parametrize(
    ("pattern", "name", "other"),
    [
        ("a/b/*.yaml", "a/b/c.yaml", "a/b/d.yaml"),
        ("a/**/*.conf", "a/b/c/x.conf", "a/b/d/y.conf"),
        ("more.routes", "more.routes", None),
    ],
)
def test_what_the_file_includes_is_watched_and_what_it_would_include(folder, pattern, name, other):
    watch = Watch(folder / "routes.yaml")
    config = including(folder, pattern, name)
    settled(watch)
    watch.follow(config.files, config.includes)
    assert settled(watch) == NEVER
    (folder / name).write_text("routes: []\n")
    assert settled(watch) == ONCE
    if other:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_text("routes: []\n")
        assert settled(watch) == ONCE
    (folder / name).unlink()
    assert settled(watch) == ONCE


def test_what_was_saved_between_the_reading_and_the_first_look_is_noticed(folder):
    config = including(folder, "a/b/*.yaml", "a/b/c.yaml")
    watch = Watch(folder / "routes.yaml")
    (folder / "a/b/c.yaml").write_text("routes: []\n")
    watch.follow(config.files, config.includes)
    assert settled(watch).count(True) == 1


def test_what_was_added_between_the_reading_and_the_first_look_is_noticed(folder):
    config = including(folder, "a/b/*.yaml", "a/b/c.yaml")
    watch = Watch(folder / "routes.yaml")
    (folder / "a/b/d.yaml").write_text("routes: []\n")
    watch.follow(config.files, config.includes)
    assert settled(watch).count(True) == 1


def test_what_changes_before_new_files_are_followed_is_noticed(folder):
    config = including(folder, "a/b/*.yaml", "a/b/c.yaml")
    watch = Watch(folder / "routes.yaml")
    (folder / "routes.yaml").write_text(FILE)
    (folder / "templates/crm.json.j2").unlink()
    watch.follow(config.files, config.includes)
    assert settled(watch).count(True) == 1


def test_what_is_no_longer_included_is_no_longer_watched(folder):
    config = including(folder, "a/b/*.yaml", "a/b/c.yaml")
    watch = Watch(folder / "routes.yaml")
    watch.follow(config.files, config.includes)
    watch.follow(loaded(folder, FILE).files, [])
    settled(watch)
    (folder / "a/b/c.yaml").write_text("routes: []\n")
    assert settled(watch) == NEVER


def test_a_yaml_file_that_nothing_includes_is_not_watched(folder):
    loaded(folder, FILE)
    watch = Watch(folder / "routes.yaml")
    (folder / "compose.yaml").write_text("services: {}\n")
    assert settled(watch) == NEVER


def test_a_refused_file_says_what_it_would_have_included(folder):
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/a.yaml").write_text("routes: [{nonsense: 1}]\n")
    with pytest.raises(ConfigError) as refused:
        loaded(folder, f"{FILE}include: deep/er/*.yaml\n")
    assert refused.value.includes == ("deep/er/*.yaml",)
    assert refused.value.files == {
        name: hashlib.sha256((folder / name).read_bytes()).digest()
        for name in ("routes.yaml", "deep/er/a.yaml", "templates/crm.json.j2")
    }


def test_variables_are_watched_where_they_are_read_again(folder):
    loaded(folder, FILE)
    with_variables, without = Watch(folder / "routes.yaml", folder / ".env"), Watch(folder / "routes.yaml")
    (folder / ".env").write_text("A=1\n")
    assert settled(with_variables) == ONCE
    assert settled(without) == NEVER


def test_what_the_gateway_and_editors_write_beside_it_is_not_looked_at(folder):
    loaded(folder, FILE)
    watch = Watch(folder / "routes.yaml")
    (folder / ".git").mkdir()
    for name in ("gateway.db", "archive.ndjson", "routes.yaml~", ".routes.yaml.swp", ".git/x.yaml", "templates/a.swp"):
        (folder / name).write_text("x")
    assert settled(watch) == NEVER


def test_a_link_is_followed_to_what_it_leads_to(tmp_path):
    for version in ("v1", "v2"):
        (tmp_path / f".{version}").mkdir()
        (tmp_path / f".{version}/routes.yaml").write_text(f"{HEAD}# {version}")
    (tmp_path / ".data").symlink_to(".v1")
    (tmp_path / "routes.yaml").symlink_to(".data/routes.yaml")
    watch = Watch(tmp_path / "routes.yaml")
    (tmp_path / ".new").symlink_to(".v2")
    (tmp_path / ".new").replace(tmp_path / ".data")
    assert settled(watch) == ONCE


@given(st.lists(st.sampled_from(["a", "b", None, "poll"]), max_size=12))
def test_whatever_happens_the_last_content_is_the_one_that_was_reported(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("watch") / "routes.yaml"
    path.write_text("a")
    os.utime(path, ns=(0, 0))
    watch, reported = Watch(path), "a"
    for at, step in enumerate([*steps, "poll", "poll"], start=1):
        if step == "poll":
            reported = (path.read_text() if path.exists() else None) if watch.poll() else reported
        elif step is None:
            path.unlink(missing_ok=True)
        else:
            path.write_text(step)
            # Polls are half a second apart, the steps of this test less than a tick of the file system's clock.
            os.utime(path, ns=(at, at))
    assert reported == (path.read_text() if path.exists() else None)


# --- what becomes of it ---

ROUTE = "routes:\n  - {name: all, to: crm}\n"


def crm(url: str, more: str = "") -> str:
    return f"destinations:\n  crm: {{url: {url}{more}}}\n{ROUTE}"


class Reloadable(World):
    """A world whose file is read as the running gateway reads it; ``logged`` are the lines it wrote."""

    async def __aenter__(self) -> "Reloadable":
        await super().__aenter__()
        self.reloader = Reloader(self.gateway, self.dispatcher, self.read)
        return self

    def read(self):
        return load(self.folder / "routes.yaml", environ={})

    def save(self, text: str) -> None:
        (self.folder / "routes.yaml").write_text(
            "version: 1\nsources: {xobito: {preset: xobito, secret: s3cret}}\n" + text
        )


def of(logged, name):
    return [fields for event, fields in logged if event == name]


def test_a_good_file_is_in_force_and_says_what_changed(tmp_path, logged):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            world.save(crm("http://127.0.0.1:9/b"))
            assert await world.reloader.reload() == "1 destination changed (crm)"
            assert world.gateway.config.destinations["crm"].target.url == "http://127.0.0.1:9/b"
            revision = world.gateway.config.revision
            assert of(logged, "config.reloaded") == [{"changed": "1 destination changed (crm)", "config": revision}]

    asyncio.run(scenario())


@pytest.mark.parametrize("is_for_people", [True, False], ids=["a terminal", "a log of lines"])
def test_on_a_terminal_each_problem_is_printed_once(tmp_path, logged, monkeypatch, is_for_people):
    monkeypatch.setattr(telemetry, "is_for_people", lambda: is_for_people)
    shown = []

    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            reloader = Reloader(world.gateway, world.dispatcher, world.read, shown.append)
            world.save("nonsense: 1\nmore: 2\n")
            with pytest.raises(ConfigError) as refused:
                await reloader.reload()
            assert shown == [refused.value]

    asyncio.run(scenario())
    [rejected] = of(logged, "config.rejected")
    assert rejected["problems"] == 2 if is_for_people else len(rejected["problems"]) == 2


def test_a_warning_is_no_problem_for_which_a_file_is_refused(tmp_path, logged):
    both = crm("http://127.0.0.1:9/a") + "  - {name: b, match: contact.created, to: nowhere}\n"
    both += "  - {name: c, match: contact.updated, where: {attrs.type: lead}, to: crm}\n"

    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            world.save(both)
            with pytest.raises(ConfigError) as refused:
                await world.reloader.reload(by="ann")
            assert {each.severity for each in refused.value.problems} == {"error", "warning"}
            [noted] = (await world.gateway.store.activities(limit=10)).rows
            assert noted.subject == "refused: 1 problem"

    asyncio.run(scenario())
    assert len(of(logged, "config.rejected")[-1]["problems"]) == 1


def test_a_broken_file_changes_nothing_until_it_is_mended(tmp_path, logged):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            before = world.gateway.config
            for broken, problems in (("nonsense: 1\nmore: 2\n", 2), ("[", 1)):
                world.save(broken)
                with pytest.raises(ConfigError):
                    await world.reloader.reload()
                assert world.gateway.config is before
                assert len(world.reloader.rejection.problems) == problems
                assert len(of(logged, "config.rejected")[-1]["problems"]) == problems
                assert telemetry.CONFIG_SUCCESSFUL._value.get() == 0
            world.save(crm("http://127.0.0.1:9/a"))
            assert await world.reloader.reload() == "nothing"
            assert world.reloader.rejection is None
            assert telemetry.CONFIG_SUCCESSFUL._value.get() == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("is_saved_before", [True, False])
def test_the_correction_of_a_refused_file_is_noticed_however_soon_it_is_saved(tmp_path, is_saved_before):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            watch = Watch(tmp_path / "routes.yaml")
            new = tmp_path / "new.conf"
            new.write_text("routes: [{nonsense: 1}]\n")
            world.save(crm("http://127.0.0.1:9/a") + "include: new.conf\n")
            settled(watch)
            with pytest.raises(ConfigError):
                await world.reloader.reload()
            if is_saved_before:
                new.write_text("vars: {a: 1}\n")
            watch.follow(world.reloader.files, world.reloader.includes)
            assert settled(watch).count(True) == is_saved_before
            if not is_saved_before:
                new.write_text("vars: {a: 1}\n")
                assert settled(watch) == ONCE
            assert await world.reloader.reload() == "1 variable added (a)"
            watch.follow(world.reloader.files, world.reloader.includes)
            assert settled(watch) == NEVER

    asyncio.run(scenario())


def test_a_refusal_tells_since_when(tmp_path):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            world.gateway.clock = itertools.count(100.0, 100.0).__next__
            world.save("nonsense: 1\n")
            for _ in range(2):
                with pytest.raises(ConfigError):
                    await world.reloader.reload()
                assert world.reloader.rejection.since == 100.0

    asyncio.run(scenario())


def test_a_defect_in_reading_a_file_keeps_the_old_one_too(tmp_path, logged):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            reloader = Reloader(world.gateway, world.dispatcher, lambda: 1 / 0)
            with pytest.raises(ConfigError):
                await reloader.reload()
            assert "ZeroDivisionError" in of(logged, "config.rejected")[0]["problems"][0]
            assert of(logged, "internal.error")

    asyncio.run(scenario())


def test_two_reloads_at_once_happen_one_after_the_other(tmp_path):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            reading = []

            def read():
                reading.append("begin")
                config = world.read()
                reading.append("end")
                return config

            reloader = Reloader(world.gateway, world.dispatcher, read)
            await asyncio.gather(*(reloader.reload() for _ in range(5)))
            assert reading == ["begin", "end"] * 5
            assert sys.getswitchinterval() == pytest.approx(before)

    before = sys.getswitchinterval()
    asyncio.run(scenario())


def test_warnings_of_the_new_file_are_logged(tmp_path, logged):
    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            world.save(crm("http://127.0.0.1:9/a") + "  - name: tail\n    to: crm\n    text: New lead in #sales\n")
            await world.reloader.reload()
            assert any("sales" in fields["message"] for fields in of(logged, "config.warning"))

    asyncio.run(scenario())


def test_a_route_that_is_gone_while_deliveries_wait_for_it_is_named(tmp_path, logged):
    async def scenario():
        with Sink(answer(503)) as sink:
            async with Reloadable(tmp_path, crm(sink.url)) as world:
                for number in range(3):
                    await world.receive(b'{"number": %d}' % number)
                await world.dispatcher.idle()
                world.save(crm(sink.url).replace("name: all", "name: every"))
                await world.reloader.reload()
                assert of(logged, "config.orphans") == [{"route": "all", "destination": "crm", "deliveries": 3}]
                await world.reloader.reload()
                assert len(of(logged, "config.orphans")) == 1

    asyncio.run(scenario())


def test_a_disk_that_refuses_does_not_stop_a_reload(tmp_path, logged, monkeypatch):
    async def refuse(_):
        raise StoreUnavailable("no")

    async def scenario():
        async with Reloadable(tmp_path, crm("http://127.0.0.1:9/a")) as world:
            monkeypatch.setattr(type(world.store), "waiting", refuse)
            world.save(crm("http://127.0.0.1:9/a").replace("name: all", "name: every"))
            assert "1 route added (every)" in await world.reloader.reload()
            assert of(logged, "store.unavailable")

    asyncio.run(scenario())


def test_more_slots_are_used_from_the_reload_on(tmp_path):
    async def scenario():
        with Sink(hang()) as sink:
            async with Reloadable(tmp_path, crm(sink.url, ", concurrency: 1")) as world:
                running = asyncio.create_task(world.dispatcher.run())
                for number in range(4):
                    await world.receive(b'{"number": %d}' % number)
                await asyncio.to_thread(sink.wait_for, 1)
                world.save(crm(sink.url, ", concurrency: 3"))
                await world.reloader.reload()
                assert len(await asyncio.to_thread(sink.wait_for, 3)) == 3
                assert world.dispatcher.holds.in_flight["crm"] == 3
                world.dispatcher.stop()
                await running

    asyncio.run(scenario())


def test_fewer_slots_are_obeyed_by_the_next_start(tmp_path):
    async def scenario():
        with Sink(hang()) as sink:
            async with Reloadable(tmp_path, crm(sink.url, ", concurrency: 3")) as world:
                for number in range(2):
                    await world.receive(b'{"number": %d}' % number)
                await asyncio.to_thread(sink.wait_for, 2)
                world.save(crm(sink.url, ", concurrency: 1"))
                await world.reloader.reload()
                await world.receive(b'{"number": 3}')
                assert world.dispatcher.holds.in_flight["crm"] == 2
                assert len(world.dispatcher._attempts) == 2

    asyncio.run(scenario())
