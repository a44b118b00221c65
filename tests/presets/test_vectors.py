"""Every preset gives the verdict that its sender would: constants that vendors publish, and what openssl signs.

A file of vectors is a list of requests, each with

- ``name``: what it shows, as a sentence,
- ``request``: ``method``, ``url``, ``headers`` as pairs, and ``body`` or ``body_base64``,
- ``secrets`` that the source has, and ``public_url`` if the sender signs its address,
- ``verify``: what the operator adds to the preset's, if something has to be added,
- ``documents`` that have been fetched, by address, if the verdict depends on any,
- ``at``: when the request arrives, Unix seconds,
- ``verdict``: ``accepted`` or ``refused``,
- ``made_with``: the vendor's page that publishes it, or the command that signed it; never the gateway's own code.
"""

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway import presets
from gateway.model import Secret
from gateway.signatures import Credential, KeyRefused, Request, Verified, Verifier
from gateway.signatures.declared import merged, scheme_of
from tests.needs import needs
from tests.presets.make import FOLDER, Signer, vectors

FILES = {file.stem: json.loads(file.read_text("utf-8")) for file in FOLDER.glob("*.json")}
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


def verdict(preset: str, vector) -> tuple[str, str]:
    """``accepted`` or ``refused``, and why it is refused."""
    own = vector.get("verify", {})
    schemes = tuple(scheme_of(merged(block, own)) for block in presets.load(preset).verify)
    credentials = tuple(Credential(Secret(text)) for text in vector["secrets"])
    try:
        verifier = Verifier(schemes, credentials, vector.get("public_url", ""))
    except KeyRefused as refused:
        return "refused", str(refused)
    documents = {url: text.encode() for url, text in vector.get("documents", {}).items()}
    outcome = verifier.verify(requested(vector["request"]), vector["at"], documents=documents)
    return ("accepted", "") if isinstance(outcome, Verified) else ("refused", outcome.reason)


@pytest.mark.parametrize(("preset", "vector"), VECTORS)
def test_the_verdict_is_the_senders(preset, vector):
    got, reason = verdict(preset, vector)
    assert got == vector["verdict"], f"{preset}.yaml: {reason or 'accepted'}; signed by {vector['made_with']}"


@pytest.mark.parametrize("preset", presets.NAMES)
def test_every_preset_has_vectors(preset):
    assert preset in FILES, f"write tests/presets/vectors/{preset}.json: python -m tests.presets.make --help"


def test_all_vectors_are_of_a_preset():
    assert set(FILES) <= set(presets.NAMES), "remove the vectors, or add the preset"


@pytest.mark.parametrize("preset", sorted(FILES))
def test_there_are_requests_of_both_kinds_and_each_says_how_it_was_made(preset):
    file = f"tests/presets/vectors/{preset}.json"
    verdicts = [vector["verdict"] for vector in FILES[preset]]
    assert verdicts.count("accepted") >= 1, f"add an accepted vector to {file}"
    assert verdicts.count("refused") >= 2, f"add refused vectors to {file}: at least 2"
    assert all(vector["made_with"] for vector in FILES[preset]), f"say in {file} what made each signature: made_with"


def test_the_first_vectors_of_a_preset_are_made_from_its_samples():
    needs("openssl")
    stripe = presets.load("stripe")
    command = 'printf "%s" "$TIMESTAMP.$BODY" | openssl dgst -sha256 -hmac "$SECRET"'
    signer = Signer(["Stripe-Signature: t=$TIMESTAMP,v1=$SIGNATURE"], command, tolerance=300)
    made = list(vectors(stripe.samples, stripe.sample_headers, signer))
    verdicts = [vector["verdict"] for vector in made]
    assert verdicts == [*["accepted"] * len(stripe.samples), *["refused"] * 4, "accepted", *["refused"] * 3]
    assert [verdict("stripe", vector)[0] for vector in made] == verdicts
    assert {key for vector in made for key in vector} == {key for vector in FILES["stripe"] for key in vector}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["stripe", "--header", "X: $SIGNATURE", "echo a"],
            "stripe.json exists: add to it by hand, or remove it first",
        ),
        (["nope", "--header", "X: $SIGNATURE", "echo a"], "there is no gateway/presets/nope.yaml: write it first"),
        (["stripe", "--header", "X:$SIGNATURE", "echo a"], "write 'Name: value', with a space after the colon"),
        (["stripe", "--header", "X: $SIGNATURE", "echo $TIMESTAMP"], "for example --tolerance 300"),
    ],
    ids=["vectors that exist", "an unknown preset", "a header without a space", "a tolerance that is missing"],
)
def test_what_cannot_be_made_into_vectors_is_refused_and_nothing_is_written(given, said):
    before = (FOLDER / "stripe.json").read_bytes()
    command = [sys.executable, "-m", "tests.presets.make", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2
    assert said in done.stderr
    assert (FOLDER / "stripe.json").read_bytes() == before
