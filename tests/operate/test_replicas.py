"""Replicas know each other, and reload when all are asked to."""

import pytest

from gateway.errors import ConfigError
from gateway.store.cluster import Roll
from tests.web.desk import Desk
from tests.world import story


@story
async def test_one_replica_alone_knows_itself(tmp_path):
    async with Desk(tmp_path, "") as desk:
        await desk.replicas.beat()
        [me] = (await desk.ask("/api/replicas"))[1]
        assert (me["is_this"], me["has_this_config"], me["config"]) == (True, True, desk.gateway.config.revision)
        assert me["host"].startswith("desk:")
        assert desk.replicas.differing == []


class Pair(Desk):
    """A desk of which the store has a second replica."""

    async def __aenter__(self):
        await super().__aenter__()
        self.asked = 0
        self.other = None

        async def beat(me):
            return Roll(tuple(each for each in (me, self.other) if each), self.asked)

        async def ask_to_reload():
            self.asked += 1

        self.store.cluster.beat, self.store.cluster.ask_to_reload = beat, ask_to_reload
        return self


@story
async def test_a_replica_with_another_file_is_named_on_every_page_and_in_the_list(tmp_path):
    async with Pair(tmp_path, "") as desk:
        me = desk.replicas.me
        desk.other = type(me)(
            id="rep_2", host="web-2:7", version="0.1.0", config="0000aaaa", started_at=me.started_at, seen_s=2.0
        )
        await desk.replicas.beat()
        found = (await desk.ask("/api/replicas"))[1]
        assert [(each["id"], each["is_this"], each["has_this_config"]) for each in found] == [
            (me.id, True, True),
            ("rep_2", False, False),
        ]
        page = (await desk.ask("/", accept="text/html"))[1]
        assert "1 replica with another configuration" in page
        assert "web-2:7" in page


@story
async def test_reload_all_reloads_here_first_and_then_asks_the_others(tmp_path):
    async with Pair(tmp_path, "") as desk:
        await desk.replicas.beat()
        status, answer = await desk.ask("/api/reload", {"all": True, "by": "ann"})
        assert (status, desk.asked) == (200, 1)
        assert answer["changed"]
        reloaded = []
        desk.reloader.reload = reloaded.append
        await desk.replicas.beat()
        assert reloaded == [], "it has reloaded already"


@story
async def test_a_file_with_errors_is_not_passed_on_to_the_others(tmp_path):
    async with Pair(tmp_path, "") as desk:
        await desk.replicas.beat()
        (desk.folder / "routes.yaml").write_text("sauces: {}\n")
        with pytest.raises(ConfigError):
            await desk.replicas.reload_all(by="ann")
        assert desk.asked == 0


@story
async def test_a_replica_that_is_asked_to_reload_does_so_once(tmp_path):
    async with Pair(tmp_path, "") as desk:
        reloaded = []

        async def reload(*, by):
            reloaded.append(by)

        desk.reloader.reload = reload
        desk.asked = 5
        await desk.replicas.beat()
        assert reloaded == [], "what was asked for before it started is in force"
        desk.asked = 7
        await desk.replicas.beat()
        await desk.replicas.beat()
        assert reloaded == ["gateway reload --all"]
