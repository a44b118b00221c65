"""What to do about a refused request, by its reason."""

import hmac
from base64 import b64encode

import pytest

from gateway.cli import refused
from gateway.config import load
from gateway.errors import MethodRefused
from gateway.operate import refusals
from gateway.signatures import Request
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
                "signature v1 does not match x": "differs from the one here, or the body is changed on the way",
                "authorization does not match the secret of the source": "differs from the one here: compare them",
                "header X-S has no signature with sha256=": "its form differs from the one that Xobito writes",
            }.items():
                assert said in refusals.hint(world.config, row(reason)), reason


DIGEST = hmac.digest(b"s3cret", b"{}", "sha256")


@pytest.mark.parametrize(
    ("signature", "reason", "said"),
    [
        ("", "no x-hub-signature-256 header", "It is not signed: "),
        (
            f"sha256={bytes(32).hex()}",
            "x-hub-signature-256 does not match the body",
            "or the body is changed on the way",
        ),
        (DIGEST.hex(), "x-hub-signature-256 has no signature with sha256=", "The signature is there, but its form "),
        (
            f"sha256={b64encode(DIGEST).decode()}",
            "x-hub-signature-256 has a signature in base64, not in lower-case hex",
            "The signature is there, but its form ",
        ),
        (
            f"sha256={DIGEST.hex().upper()}",
            "x-hub-signature-256 has a signature in hex, not in lower-case hex",
            "The signature is there, but its form ",
        ),
        (
            f"sha256={hmac.digest(b's3cret', b'{}', 'sha1').hex()}",
            "x-hub-signature-256 has no signature of 64 characters in lower-case hex",
            "The signature is there, but its form ",
        ),
    ],
    ids=["none", "of another secret", "without its prefix", "base64", "upper case", "of another algorithm"],
)
def test_a_signature_that_is_there_in_another_form_is_not_called_missing(tmp_path, signature, reason, said):
    file = tmp_path / "routes.yaml"
    file.write_text('version: 1\nsources: {github: {preset: github, secret: "${GITHUB_SECRET}"}}\n')
    config = load(file, environ={"GITHUB_SECRET": "s3cret"})
    headers = [(b"x-hub-signature-256", signature.encode())] if signature else []
    verdict = config.sources["github"].verifier.verify(Request(headers=headers, body=b"{}"), 0.0)
    assert verdict.reason.startswith(reason)
    assert said in refusals.hint(config, row(verdict.reason, source="github"))


def test_a_wrong_method_names_the_right_one():
    assert str(MethodRefused("GET", ["POST", "HEAD"])) == "GET where only POST or HEAD is accepted"


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
