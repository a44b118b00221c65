"""Which presets a destination can be signed as, and what ``check`` says of the others."""

import base64

import pytest

from gateway import presets
from gateway.config import load
from gateway.errors import ConfigError
from gateway.signatures import stand_in_for
from gateway.signatures.outgoing import Signer
from tests.signatures.test_outgoing import SHARED, shared

#: Those whose senders sign with a pair of keys that can be anyone's.
PAIRS = ["discord", "discord-events", "telnyx"]
SEED = bytes(range(32))
KEYS = {"discord": SEED.hex(), "discord-events": SEED.hex(), "telnyx": base64.b64encode(SEED).decode()}


def signed(folder, keys: str):
    (folder / "routes.yaml").write_text(
        f"version: 1\ndestinations: {{a: {{url: https://a.example, sign: {keys}}}}}\nalways: [{{to: a}}]\n"
    )
    [signer] = load(folder / "routes.yaml", environ={}).destinations["a"].signers
    assert isinstance(signer, Signer)
    return signer


@pytest.mark.parametrize("preset", SHARED)
def test_a_destination_can_be_signed_as_any_sender_with_a_shared_secret(tmp_path, preset):
    secret = stand_in_for(shared(preset), "a secret of 26 characters!").reveal()
    made = signed(tmp_path, f'{{preset: {preset}, secret: "{secret}"}}')
    assert made.words == f"as {presets.load(preset).title}"
    assert shared(preset).signature.header in made.headers or shared(preset).signature.body


@pytest.mark.parametrize("preset", PAIRS)
def test_or_as_one_with_a_pair_of_keys(tmp_path, preset):
    assert signed(tmp_path, f'{{preset: {preset}, key: "{KEYS[preset]}"}}').public_keys


@pytest.mark.parametrize("preset", sorted({*presets.NAMES} - {*SHARED}))
def test_what_to_write_instead_is_said_of_every_other_one(tmp_path, preset):
    with pytest.raises(ConfigError) as caught:
        signed(tmp_path, f"{{preset: {preset}, secret: a-secret-of-26-characters}}")
    [problem] = caught.value.problems
    assert problem.message.startswith('sign of "a": ')
    assert problem.hint


@pytest.mark.parametrize("secret", ["a-secret-of-26-characters!", "whsec_", "v1,whsec_%"])
def test_a_secret_that_standard_webhooks_cannot_use_is_not_used(tmp_path, secret):
    with pytest.raises(ConfigError, match="1 problem"):
        signed(tmp_path, f'{{secret: "{secret}"}}')


def test_the_time_and_the_headers_of_a_preset_can_be_others(tmp_path):
    made = signed(
        tmp_path, "{preset: github, signature: {header: X-Acme-Signature}, secret: a-secret-of-26-characters}"
    )
    assert made.headers == {"x-acme-signature"}
