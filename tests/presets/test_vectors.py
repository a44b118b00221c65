"""Every preset gives the verdict that its sender would: constants that vendors publish, and what openssl signs."""

import base64
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import presets
from gateway.model import Secret
from gateway.signatures import Credential, KeyRefused, Request, Verified, Verifier
from gateway.signatures.declared import scheme_of

FILES = {file.stem: json.loads(file.read_text("utf-8")) for file in (Path(__file__).parent / "vectors").glob("*.json")}
VECTORS = [
    pytest.param(preset, vector, id=f"{preset}: {vector['name']}")
    for preset, vectors in sorted(FILES.items())
    for vector in vectors
]


def requested(written) -> Request:
    url = urlsplit(written["url"])
    return Request(
        method=written["method"],
        query=url.query.encode("ascii"),
        headers=[(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in written["headers"]],
        body=base64.b64decode(written["body_base64"]) if "body_base64" in written else written["body"].encode("utf-8"),
        path_secret=url.path.rpartition("/")[2].encode("ascii"),
    )


def verdict(preset: str, vector) -> str:
    schemes = tuple(scheme_of(block) for block in presets.load(preset).verify)
    credentials = tuple(Credential(Secret(text)) for text in vector["secrets"])
    try:
        verifier = Verifier(schemes, credentials, vector.get("public_url", ""))
    except KeyRefused:
        return "refused"
    outcome = verifier.verify(requested(vector["request"]), vector["at"])
    return "accepted" if isinstance(outcome, Verified) else "refused"


@pytest.mark.parametrize(("preset", "vector"), VECTORS)
def test_the_verdict_is_the_senders(preset, vector):
    assert verdict(preset, vector) == vector["verdict"]


def test_every_preset_has_vectors():
    assert set(FILES) == set(presets.NAMES)


@pytest.mark.parametrize("preset", sorted(FILES))
def test_there_are_requests_of_both_kinds_and_each_says_how_it_was_made(preset):
    verdicts = [vector["verdict"] for vector in FILES[preset]]
    assert verdicts.count("accepted") >= 1
    assert verdicts.count("refused") >= 2
    assert all(vector["made_with"] for vector in FILES[preset])
