"""What the gateway signs for a destination is what its own verifier, and the published vectors, accept."""

import base64
import json
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway import presets
from gateway.errors import BuildError
from gateway.model import HttpRequest, Secret
from gateway.signatures import Credential, KeyRefused, Request, Verified, Verifier, stand_in_for
from gateway.signatures.declared import SchemeRefused, scheme_of
from gateway.signatures.keys import PUBLIC_KEYS
from gateway.signatures.outgoing import Signer, Way
from gateway.signatures.signing import _with_fields

NOW = 1_700_000_000.0
ID = "dlv_019b1a2b-0000-7000-8000-000000000001"
URL = "https://crm.example.com/in/orders"
WHSEC = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
SEED = bytes(range(32))
PAIR = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
WHSK = "whsk_" + base64.b64encode(SEED).decode()
WHPK = "whpk_" + base64.b64encode(PAIR.public_key().public_bytes_raw()).decode()
PEM = PAIR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def schemes(preset: str):
    try:
        return [scheme_of(block) for block in presets.load(preset).verify if block != {"none": True}]
    except SchemeRefused:
        return []


def shared(preset: str):
    """The scheme of a preset by which a shared secret signs; None: it has none."""
    return next(
        (
            each
            for each in schemes(preset)
            if each.way == "signature"
            and each.signature.algorithm not in PUBLIC_KEYS
            and not each.signature.certificate
        ),
        None,
    )


SHARED = [name for name in presets.NAMES if shared(name)]
V1, V1A = schemes("standard-webhooks")


def signer(scheme, *secrets: str, until=None, is_private: bool = False) -> Signer:
    credentials = tuple(Credential(Secret(each), until if at else None) for at, each in enumerate(secrets))
    return Signer((Way(scheme=scheme, credentials=credentials, is_private=is_private),))


def request(body: bytes, url: str = URL, content_type: str = "application/json", **headers: str) -> HttpRequest:
    named = {"content-type": content_type, "user-agent": "gateway/1", "webhook-id": ID, **headers}
    return HttpRequest(method="POST", url=url, headers=tuple(named.items()), body=body)


def received(sent: HttpRequest) -> Request:
    """What the receiver of a request has of it."""
    headers = [(name.encode(), value.encode()) for name, value in sent.headers]
    return Request(method=sent.method, query=sent.url.partition("?")[2].encode(), headers=headers, body=sent.body)


def verdict(scheme, secret: str, sent: HttpRequest, now: float = NOW):
    verifier = Verifier((scheme,), (Credential(Secret(secret)),), sent.url.partition("?")[0])
    return verifier.verify(received(sent), now)


# --- every preset ---


def body_for(preset: str) -> tuple[bytes, str]:
    """A body that the preset has a place for, and its type: one of its own samples."""
    loaded = presets.load(preset)
    name, body = next(iter(loaded.samples.items()))
    return body, loaded.sample_headers[name].get("content-type", "application/json")


def test_there_are_presets_with_a_shared_secret():
    assert len(SHARED) >= 70


@pytest.mark.parametrize("preset", SHARED)
@pytest.mark.parametrize("query", ["", "?tenant=13&name=Zo%C3%AB"], ids=["", "with a query"])
def test_what_is_signed_as_a_preset_is_accepted_as_one(preset, query):
    scheme = shared(preset)
    secret = stand_in_for(scheme, "a secret of 26 characters!").reveal()
    body, content_type = body_for(preset)
    sent = signer(scheme, secret).sign(request(body, URL + query, content_type), ID, NOW)
    assert verdict(scheme, secret, sent) == Verified()
    assert verdict(scheme, stand_in_for(scheme, "another secret").reveal(), sent) != Verified()


@pytest.mark.parametrize("preset", [name for name in SHARED if shared(name).timestamp])
def test_the_time_that_is_signed_is_that_of_the_attempt(preset):
    scheme = shared(preset)
    secret = stand_in_for(scheme, "a secret of 26 characters!").reveal()
    body, content_type = body_for(preset)
    sent = signer(scheme, secret).sign(request(body, URL, content_type), ID, NOW)
    assert verdict(scheme, secret, sent, NOW + scheme.timestamp.tolerance_s - 1) == Verified()
    assert verdict(scheme, secret, sent, NOW + scheme.timestamp.tolerance_s + 2) != Verified()


@given(
    body=st.binary(max_size=200), preset=st.sampled_from(["standard-webhooks", "github", "stripe", "slack", "hubspot"])
)
def test_any_bytes_are_signed_as_they_are(body, preset):
    scheme = shared(preset)
    secret = stand_in_for(scheme, "a secret of 26 characters!").reveal()
    sent = signer(scheme, secret).sign(request(body, content_type="application/octet-stream"), ID, NOW)
    assert sent.body == body
    assert verdict(scheme, secret, sent) == Verified()


BODIES = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode()),
    st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=4).map(
        lambda pairs: urlencode(pairs).encode()
    ),
    st.sampled_from([body_for(preset)[0] for preset in SHARED]),
)


@settings(max_examples=600)
@given(preset=st.sampled_from(SHARED), body=BODIES, query=st.sampled_from(["", "?a=1", "?to=%2F%20x&to=2", "?{"]))
def test_whatever_the_body_it_is_signed_so_that_it_is_accepted_or_not_sent(preset, body, query):
    scheme = shared(preset)
    secret = stand_in_for(scheme, "a secret of 26 characters!").reveal()
    try:
        sent = signer(scheme, secret).sign(request(body, URL + query), ID, NOW)
    except BuildError as error:
        assert str(error).startswith("cannot be signed: ")
    else:
        assert verdict(scheme, secret, sent) == Verified()


# --- Standard Webhooks ---


def test_the_published_vector_of_standard_webhooks():
    # https://github.com/standard-webhooks/standard-webhooks, libraries/python/tests, and docs.svix.com.
    made = signer(V1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = made.sign(request(b'{"test": 2432232314}'), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330.0)
    assert (
        dict(sent.headers).items()
        >= {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }.items()
    )


def test_each_of_several_secrets_signs():
    sent = signer(V1, WHSEC, OTHER).sign(request(b"{}"), ID, NOW)
    assert dict(sent.headers)["webhook-signature"].count("v1,") == 2
    assert verdict(V1, WHSEC, sent) == verdict(V1, OTHER, sent) == Verified()


def test_a_secret_signs_until_its_day():
    made = signer(V1, WHSEC, OTHER, until=NOW + 10)
    before, after = made.sign(request(b"{}"), ID, NOW), made.sign(request(b"{}"), ID, NOW + 10)
    assert verdict(V1, OTHER, before) == Verified()
    assert verdict(V1, OTHER, after, NOW + 10) != Verified()
    assert verdict(V1, WHSEC, after, NOW + 10) == Verified()


def test_without_a_secret_that_is_still_in_use_nothing_is_sent_unsigned():
    made = Signer((Way(scheme=V1, credentials=(Credential(Secret(WHSEC), NOW),)),))
    with pytest.raises(BuildError, match="every secret under sign is past its day; add a new one"):
        made.sign(request(b"{}"), ID, NOW)


@pytest.mark.parametrize(
    "written",
    [
        WHSK,
        WHSK.removeprefix("whsk_"),
        PEM,
        "whsk_" + base64.b64encode(SEED + PAIR.public_key().public_bytes_raw()).decode(),
    ],
    ids=["whsk_", "base64", "PEM", "both halves"],
)
def test_a_private_key_signs_what_its_public_half_verifies(written):
    made = signer(V1A, written, is_private=True)
    sent = made.sign(request(b'{"a": 1}'), ID, NOW)
    signature = dict(sent.headers)["webhook-signature"].removeprefix("v1a,")
    PAIR.public_key().verify(base64.b64decode(signature), f'{ID}.{NOW:.0f}.{{"a": 1}}'.encode())
    assert verdict(V1A, WHPK, sent) == Verified()
    assert list(made.public_keys) == [WHPK]
    assert made.words.endswith(WHPK)


@pytest.mark.parametrize("written", [SEED.hex(), PEM], ids=["hex", "PEM"])
def test_a_private_key_signs_as_a_preset_with_a_pair_does(written):
    [scheme] = schemes("discord")
    made = signer(scheme, written, is_private=True)
    assert list(made.public_keys) == [PAIR.public_key().public_bytes_raw().hex()]
    assert verdict(scheme, made.public_keys[0], made.sign(request(b"{}"), ID, NOW)) == Verified()


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("whsk_AAEC", "not an unencrypted private key"),
        ("whsk_!", "it is not whsk_ and then base64"),
        ("whsk_" + base64.b64encode(SEED + SEED).decode(), "its second half is not the public key of its first"),
        ("-----BEGIN PRIVATE KEY-----\nxx\n-----END PRIVATE KEY-----", "not an unencrypted private key"),
    ],
    ids=["short", "not base64", "other halves", "broken PEM"],
)
def test_what_is_not_a_private_key_is_refused(written, why):
    with pytest.raises(KeyRefused, match=why):
        signer(V1A, written, is_private=True)


def test_a_secret_and_a_private_key_sign_side_by_side():
    made = Signer(
        (
            Way(scheme=V1, credentials=(Credential(Secret(WHSEC)),)),
            Way(scheme=V1A, credentials=(Credential(Secret(WHSK)),), is_private=True),
        )
    )
    sent = made.sign(request(b"{}"), ID, NOW)
    assert verdict(V1, WHSEC, sent) == verdict(V1A, WHPK, sent) == Verified()


def test_of_two_ways_one_may_end():
    made = Signer(
        (
            Way(scheme=V1, credentials=(Credential(Secret(WHSEC), NOW + 10),)),
            Way(scheme=V1A, credentials=(Credential(Secret(WHSK)),), is_private=True),
        )
    )
    sent = made.sign(request(b"{}"), ID, NOW + 10)
    assert verdict(V1A, WHPK, sent, NOW + 10) == Verified()
    assert "v1," not in dict(sent.headers)["webhook-signature"]


# --- what a request has already ---


def test_the_address_that_is_signed_has_the_host_that_the_request_names():
    scheme = shared("square")
    sent = signer(scheme, "secret-of-tests-1").sign(request(b"{}", host="hooks.example:8443"), ID, NOW)
    named = replace(sent, url="https://hooks.example:8443/in/orders")
    assert sent.url == URL
    assert verdict(scheme, "secret-of-tests-1", named) == Verified()
    assert verdict(scheme, "secret-of-tests-1", sent) != Verified()


def test_a_signature_that_came_with_the_event_is_replaced():
    forwarded = request(b"{}", **{"webhook-signature": "v1,theirs", "webhook-timestamp": "1", "x-other": "kept"})
    sent = signer(V1, WHSEC).sign(forwarded, ID, NOW)
    headers = [name for name, _ in sent.headers]
    assert len(headers) == len(set(headers))
    assert "theirs" not in dict(sent.headers)["webhook-signature"]
    assert dict(sent.headers)["x-other"] == "kept"
    assert verdict(V1, WHSEC, sent) == Verified()


def test_a_signature_inside_the_body_leaves_the_rest_of_it():
    scheme = shared("mailgun")
    sent = signer(scheme, "key-of-mailgun-1").sign(request(b'{"event-data": {"id": 7}}'), ID, NOW)
    assert json.loads(sent.body)["event-data"] == {"id": 7}
    assert verdict(scheme, "key-of-mailgun-1", sent) == Verified()


@pytest.mark.parametrize(
    ("preset", "body", "why"),
    [
        ("mailgun", b"[1", "the body has no place for what is signed"),
        ("twilio", b"\xff", "the body is not a form"),
        ("adyen", b"{}", "no text or whole number at payload.notificationItems"),
    ],
)
def test_a_body_without_a_place_for_the_signature_is_a_reason_and_not_an_unsigned_request(preset, body, why):
    scheme = shared(preset)
    made = signer(scheme, stand_in_for(scheme, "a secret of 26 characters!").reveal())
    with pytest.raises(BuildError, match=f"cannot be signed: {why}"):
        made.sign(request(body), ID, NOW)


def test_what_no_receiver_accepts_is_not_sent():
    scheme = scheme_of({"signature": {"header": "x-a", "signed": "{header:x-tenant}.{body}"}})
    with pytest.raises(BuildError, match=r'\{header:x-tenant\} holds "."'):
        signer(scheme, "secret-of-tests-1").sign(request(b"{}", **{"x-tenant": "a.b"}), ID, NOW)


@pytest.mark.parametrize(
    ("text", "written"),
    [("1700000000", 1_700_000_000), ("\u00b2", "\u00b2"), ("9" * 5_000, "9" * 5_000), ("dlv_1", "dlv_1")],
)
def test_what_is_signed_in_a_body_is_a_number_there_if_json_can_hold_it(text: str, written: object) -> None:
    assert json.loads(_with_fields(b'{"a": 1}', {"id": text})) == {"a": 1, "id": written}
