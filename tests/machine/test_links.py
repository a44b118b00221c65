"""A symbolic link is followed only where nobody else chooses what it leads to, and files of our own never through one."""

import asyncio
import os
import time

import pytest

from gateway.egress.files import FileFailed, Lines
from gateway.errors import StoreError
from gateway.machine.links import ForeignLink, followed
from gateway.poison import CrashSlot
from gateway.store import health_of, open_store

SOMEBODY = 12345


@pytest.fixture
def foreign(monkeypatch):
    """Every link belongs to somebody else; only root could make one that really does."""

    def lstat(path, *, real=os.lstat):
        found = list(real(path))
        found[4] = SOMEBODY
        return os.stat_result(found)

    monkeypatch.setattr("gateway.machine.links.os.lstat", lstat)


async def opened(path):
    store = await open_store(f"sqlite:///{path}", clock=time.monotonic, wall=time.time)
    await store.close()


def test_a_link_of_ours_is_followed_to_its_end(tmp_path):
    (tmp_path / "real").write_text("kept")
    (tmp_path / "near").symlink_to("real")
    (tmp_path / "far").symlink_to(tmp_path / "near")
    (tmp_path / "dangling").symlink_to("nothing")
    assert followed(str(tmp_path / "far")) == str(tmp_path / "real")
    assert followed(str(tmp_path / "real")) == str(tmp_path / "real")
    assert followed(str(tmp_path / "dangling")) == str(tmp_path / "nothing")


def test_links_in_a_circle_are_an_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        followed(str(tmp_path / "a"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link to somebody else: run as root")
def test_a_link_that_really_is_of_somebody_else_is_not_followed(tmp_path):
    (tmp_path / "link").symlink_to("real")
    os.lchown(tmp_path / "link", SOMEBODY, SOMEBODY)
    with pytest.raises(ForeignLink, match=f"belongs to user {SOMEBODY}, so it is not followed"):
        followed(str(tmp_path / "link"))


@pytest.mark.parametrize("ending", [".lock", ".now"])
def test_a_lock_that_is_a_link_starts_nothing_and_leaves_its_target_whole(tmp_path, ending):
    precious = tmp_path / "precious"
    precious.write_text("do not truncate")
    (tmp_path / f"gateway.db{ending}").symlink_to(precious)
    with pytest.raises(
        StoreError, match=f"gateway.db{ending} is a symbolic link, and the gateway overwrites this file"
    ):
        if ending == ".lock":
            asyncio.run(opened(tmp_path / "gateway.db"))
        else:
            CrashSlot(str(tmp_path / "gateway.db.now"))
    assert precious.read_text() == "do not truncate"


def test_a_lock_that_is_a_link_is_named_by_doctor(tmp_path):
    (tmp_path / "gateway.db.lock").symlink_to("elsewhere")
    assert "gateway.db.lock" in health_of(f"sqlite:///{tmp_path}/gateway.db").owner_unknown


def test_a_store_may_be_a_link_of_ours_and_not_of_somebody_else(tmp_path, request):
    asyncio.run(opened(tmp_path / "real.db"))
    (tmp_path / "link.db").symlink_to("real.db")
    asyncio.run(opened(tmp_path / "link.db"))
    request.getfixturevalue("foreign")
    with pytest.raises(StoreError, match=f"link.db belongs to user {SOMEBODY}, so it is not followed: name the file"):
        asyncio.run(opened(tmp_path / "link.db"))
    asyncio.run(opened(tmp_path / "real.db"))


def test_a_file_destination_may_be_a_link_of_ours_and_not_of_somebody_else(tmp_path, request):
    (tmp_path / "real").write_text("first\n")
    (tmp_path / "link").symlink_to("real")
    asyncio.run(Lines(str(tmp_path / "link")).append(b"second"))
    request.getfixturevalue("foreign")
    with pytest.raises(FileFailed, match=f"belongs to user {SOMEBODY}, so it is not followed"):
        asyncio.run(Lines(str(tmp_path / "link")).append(b"third"))
    assert (tmp_path / "real").read_text() == "first\nsecond\n"
