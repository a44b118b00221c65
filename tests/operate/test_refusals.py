"""What to do about a refused request, by its reason."""

from gateway.cli import refused
from gateway.operate import refusals
from gateway.store.queries import Rejected
from tests.sink import Sink
from tests.world import World, story, to_crm


def row(reason: str, status: int = 401, source: str = "xobito") -> Rejected:
    return Rejected(at=1000.0, source=source, path="/in", status=status, reason=reason, client="203.0.113.9", count=2)


@story
async def test_each_reason_has_its_own_remedy(tmp_path):
    with Sink() as sink:
        async with World(tmp_path, to_crm(sink)) as world:
            for reason, said in {
                'the timestamp "1764521462123" is in ms, not in s': "verify: {timestamp: {unit: ms}}",
                "this GET is not a handshake that Meta makes": "opened the address in a browser",
                "signature v1 does not match x": "differs from the one here",
                "header X-S has no signature with sha256=": "not in the form",
            }.items():
                assert said in refusals.hint(world.config, row(reason)), reason


def test_each_remedy_is_numbered_and_each_row_names_its_own(capsys):
    class Place:
        def ask(self, _question):
            rows = [
                ("no such path", 404, "Correct it."),
                ("again", 200, ""),
                ("wrong", 401, "Sign it."),
                ("too", 404, "Correct it."),
            ]
            return [
                {"at": "2026-11-28T03:12:26.000Z", "count": 1, "source": "x", "status": status, "client": "::1", "reason": reason, "hint": hint}
                for reason, status, hint in rows
            ]  # fmt: skip

    assert refused.refused(Place(), source="", client="", reason="", limit=9, as_json=False) == 0
    said = capsys.readouterr()
    assert [line[:5].strip() for line in said.out.splitlines()] == ["note", "[1]", "", "[2]", "[1]"]
    assert said.err.splitlines() == ["[1] Correct it.", "[2] Sign it."]
