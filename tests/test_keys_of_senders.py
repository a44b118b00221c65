"""Senders whose keys are fetched: what a token or a certificate proves, and what happens while they cannot be had."""

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import verify
from gateway.egress.documents import BETWEEN_LOOKS_S, MOST_LOOKS
from gateway.errors import KeysUnavailable, SignatureRefused
from gateway.operate.upkeep import KEYS_INTERVAL_S
from gateway.signatures import Refused, Request, Verified, Verifier
from gateway.signatures.declared import SchemeRefused, scheme_of
from tests.sink import Sink, answer
from tests.web.test_door import AtTheDoor
from tests.world import World, story

NOW = 1_000.0
BODY = b'{"type": "ping"}'
CLAIMS = {"aud": "gateway", "iss": "https://accounts.example.com", "exp": NOW + 60}


@cache
def rsa_key(number=0):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def other_key(kind):
    return {"ES256": lambda: ec.generate_private_key(ec.SECP256R1()), "EdDSA": ed25519.Ed25519PrivateKey.generate}[
        kind
    ]()


def jwks(*keys) -> bytes:
    """A JWKS of (kid, private key, algorithm)."""
    listed = []
    for kid, key, name in keys:
        written = jwt.get_algorithm_by_name(name).to_jwk(key.public_key(), as_dict=True)
        listed.append({**written, "kid": kid, "use": "sig"})
    return json.dumps({"keys": listed}).encode()


KEYS = jwks(("one", rsa_key(), "RS256"))


def token(claims=None, key=None, kid="one", algorithm="RS256", **headers) -> str:
    head = {"kid": kid, **headers} if kid else headers
    return jwt.encode(CLAIMS if claims is None else claims, key or rsa_key(), algorithm=algorithm, headers=head)


def shown(text: str, body: bytes = BODY, header: str = "authorization") -> Request:
    value = f"Bearer {text}" if header == "authorization" else text
    return Request(headers=[(b"content-type", b"application/json"), (header.encode(), value.encode())], body=body)


def verdict(text, keys=KEYS, now=NOW, **more):
    written = {"jwks": keys.decode(), "audience": "gateway", "issuer": "https://accounts.example.com", **more}
    return Verifier((scheme_of({"jwt": written}),)).verify(shown(text), now)


@pytest.mark.parametrize(("algorithm", "kind"), [("RS256", ""), ("PS256", ""), ("ES256", "ES256"), ("EdDSA", "EdDSA")])
def test_a_token_by_a_key_of_the_sender_is_accepted(algorithm, kind):
    key = other_key(kind) if kind else rsa_key()
    keys = jwks(("one", key, kind or "RS256"))
    assert verdict(token(key=key, algorithm=algorithm), keys) == Verified()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if algorithm != "PS256":
        assert verdict(token(key=key, algorithm=algorithm, kid=None), pem) == Verified()


def without(name):
    return {key: value for key, value in CLAIMS.items() if key != name}


def raw(head, claims) -> str:
    """A token with any header, signed with RSA."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (head, claims)]
    algorithm = jwt.get_algorithm_by_name("RS256")
    signature = algorithm.sign(".".join(parts).encode(), rsa_key())
    return ".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=").decode()])


def hs256_by_public_key() -> str:
    pem = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, body = raw({"alg": "HS256", "kid": "one"}, CLAIMS).split(".")[:2]
    signature = hmac.digest(pem, f"{head}.{body}".encode(), "sha256")
    return f"{head}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


REFUSED = {
    "another key": (lambda: token(key=rsa_key(1)), {}),
    "another audience": (lambda: token({**CLAIMS, "aud": "others"}), {}),
    "no audience": (lambda: token(without("aud")), {}),
    "another issuer": (lambda: token({**CLAIMS, "iss": "https://evil.example.com"}), {}),
    "expired": (lambda: token({**CLAIMS, "exp": NOW - 61}), {}),
    "not valid yet": (lambda: token({**CLAIMS, "nbf": NOW + 61}), {}),
    "of the future": (lambda: token({**CLAIMS, "iat": NOW + 61}), {}),
    "never expires": (lambda: token(without("exp")), {}),
    "an exp that is no time": (lambda: raw({"alg": "RS256", "kid": "one"}, {**CLAIMS, "exp": "soon"}), {}),
    "none": (lambda: jwt.encode(CLAIMS, None, algorithm="none", headers={"kid": "one"}), {}),
    "a shared key": (lambda: jwt.encode(CLAIMS, "x" * 32, algorithm="HS256", headers={"kid": "one"}), {}),
    "the public key as a shared key": (hs256_by_public_key, {}),
    "an algorithm of another family": (lambda: raw({"alg": "ES256", "kid": "one"}, CLAIMS), {}),
    "no token": (lambda: "", {}),
    "half a token": (lambda: token().rpartition(".")[0], {}),
    "not base64": (lambda: "a.b.c", {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_any_other_token_is_refused(case):
    make, more = REFUSED[case]
    assert isinstance(verdict(make(), **more), Refused)


def test_a_key_that_says_its_algorithm_checks_no_other_one():
    keys = json.loads(KEYS)
    keys["keys"][0]["alg"] = "RS256"
    assert verdict(token(), json.dumps(keys).encode()) == Verified()
    assert isinstance(verdict(token(algorithm="PS256"), json.dumps(keys).encode()), Refused)


def test_shared_keys_short_keys_and_keys_for_encryption_are_not_used():
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    listed = json.loads(jwks(("one", short, "RS256"), ("two", rsa_key(), "RS256")))["keys"]
    listed[1]["use"] = "enc"
    listed.append({"kty": "oct", "kid": "three", "k": base64.urlsafe_b64encode(b"x" * 32).decode()})
    written = {"jwks": json.dumps({"keys": listed}), "audience": "gateway"}
    found = Verifier((scheme_of({"jwt": written}),)).verify(shown(token(kid="two")), NOW)
    assert not isinstance(found, Verified)


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}"))
def test_whatever_is_shown_is_accepted_or_refused(text):
    request = Request(headers=[(b"authorization", b"Bearer " + text.encode("utf-8", "replace"))], body=BODY)
    written = {"jwks": KEYS.decode(), "audience": "gateway"}
    assert isinstance(Verifier((scheme_of({"jwt": written}),)).verify(request, NOW), Refused)


@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.text(),
        lambda s: st.dictionaries(st.sampled_from(["keys", "kty", "n", "e", "crv", "x"]), s | st.lists(s)),
    ).map(lambda v: json.dumps(v).encode())
)
def test_whatever_is_fetched_as_keys_accepts_nothing(document):
    scheme = scheme_of({"jwt": {"jwks": "https://keys.example.com/jwks.json", "audience": "gateway"}})
    found = Verifier((scheme,)).verify(shown(token()), NOW, documents={scheme.jwt.jwks: document})
    assert not isinstance(found, Verified)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"audience": "a"}, "nothing says which keys"),
        ({"jwks": "https://a.example.com/jwks.json"}, "could use them here"),
        ({"jwks": "http://a.example.com/jwks.json", "audience": "a"}, "could replace keys"),
    ],
)
def test_settings_that_would_prove_nothing_are_refused(written, said):
    with pytest.raises(SchemeRefused, match=said):
        scheme_of({"jwt": written})


# --- fetched ---

FILE = """\
version: 1
sources:
  it:
    verify: {jwt: {jwks: "%s/jwks.json", audience: gateway, issuer: https://accounts.example.com}}
    type: "{payload.type}"
destinations: {}
"""


async def received(world, text):
    source = world.gateway.config.sources["it"]
    return await world.received(source, shown(text, json.dumps({"type": "ping", "n": text[-9:]}).encode()))


def rewound(world):
    """Documents whose minutes pass by the world's clock."""
    world.gateway.egress.documents._clock = world.clock
    return world.gateway.egress.documents


@story
async def test_keys_are_fetched_ahead_once_and_kept_although_their_host_is_gone(tmp_path):
    with Sink(answer(200, KEYS), answer(503)) as sink:
        async with World(tmp_path, FILE % sink.url) as world:
            rewound(world)
            await world.upkeep.learn_keys()
            assert [each.path for each in sink.requests] == ["/jwks.json"]
            await received(world, token())
            await world.upkeep.learn_keys()
            assert len(sink.requests) == 1
            world.clock.now += KEYS_INTERVAL_S + 1
            await world.upkeep.learn_keys()
            assert len(sink.requests) == 2
            assert (await received(world, token({**CLAIMS, "exp": NOW + 9_000}))).appended


@story
async def test_an_unknown_key_asks_once_a_minute_and_the_new_key_is_learnt(tmp_path):
    both = jwks(("one", rsa_key(), "RS256"), ("two", rsa_key(2), "RS256"))
    with Sink(answer(200, KEYS), answer(200, KEYS), answer(200, both)) as sink:
        async with World(tmp_path, FILE % sink.url) as world:
            rewound(world)
            new = token({**CLAIMS, "exp": NOW + 9_000}, key=rsa_key(2), kid="two")
            for _ in range(3):
                with pytest.raises(SignatureRefused, match="none of the sender's"):
                    await received(world, new)
            assert len(sink.requests) == 1
            world.clock.now += BETWEEN_LOOKS_S
            with pytest.raises(SignatureRefused):
                await received(world, new)
            world.clock.now += BETWEEN_LOOKS_S
            assert (await received(world, new)).appended
            assert len(sink.requests) == 3


@story
async def test_while_no_keys_could_be_had_the_answer_is_503_and_nothing_is_stored(tmp_path):
    with Sink(answer(500), answer(200, b"<html>"), answer(200, KEYS)) as sink:
        async with AtTheDoor(tmp_path, FILE % sink.url) as desk:
            rewound(desk)
            headers = {"authorization": f"Bearer {token({**CLAIMS, 'exp': NOW + 9_000})}"}
            for wanted, wait in ((503, BETWEEN_LOOKS_S), (503, BETWEEN_LOOKS_S), (202, 0)):
                answered = await desk.send(BODY, path="/in/it", headers=headers)
                assert answered.status == wanted, sink.requests
                if wanted == 503:
                    assert int(answered.headers["retry-after"]) > 0
                    assert (await desk.store.events()).rows == ()
                desk.clock.now += wait


@story
async def test_many_who_ask_at_once_wait_for_one_look(tmp_path):
    with Sink(answer(200, KEYS)) as sink:
        async with World(tmp_path, FILE % sink.url) as world:
            done = await asyncio.gather(*(received(world, token({**CLAIMS, "n": n})) for n in range(8)))
            assert sum(len(each.appended) for each in done) == 8
            assert len(sink.requests) == 1


# --- a hash of the body ---


@pytest.mark.parametrize(("body", "wanted"), [(BODY, Verified), (BODY + b" ", Refused)])
def test_a_token_over_the_body_accepts_this_body_only(body, wanted):
    said = {"hash": base64.b64encode(hashlib.sha256(BODY).digest()).decode()}
    scheme = scheme_of({"jwt": {"header": "X-Signature-JWT", "jwks": KEYS.decode(), "body_hash": "hash"}})
    request = shown(token(said), body, "x-signature-jwt")
    assert isinstance(Verifier((scheme,)).verify(request, NOW), wanted)


# --- certificates ---

CERTIFIED = """\
version: 1
sources:
  it:
    verify:
      signature:
        body: signature
        algorithm: rsa-sha256
        encoding: base64
        signed: "{lines:message,topic}"
        signed_for: topic
        certificate: {payload: certificate, from: "%s/*.pem"}
    secret: topic-of-the-tests
    type: message
    id: "{payload.message}"
destinations: {}
"""


def certified(url, name="one", topic="topic-of-the-tests", message="hello", key=None):
    text = f"message\n{message}\ntopic\n{topic}\n".encode()
    signature = (key or rsa_key()).sign(text, padding.PKCS1v15(), hashes.SHA256())
    body = {"message": message, "topic": topic, "certificate": f"{url}/{name}.pem"}
    body["signature"] = base64.b64encode(signature).decode()
    return Request(headers=[(b"content-type", b"application/json")], body=json.dumps(body).encode())


def certificate(since=0.0, until=9_000_000.0) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sender")])
    made = x509.CertificateBuilder(name, name, rsa_key().public_key(), 1)
    made = made.not_valid_before(datetime.fromtimestamp(since, UTC)).not_valid_after(datetime.fromtimestamp(until, UTC))
    return made.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


@story
async def test_a_certificate_is_fetched_from_the_senders_host_once(tmp_path):
    with Sink(answer(200, certificate())) as sink:
        async with World(tmp_path, CERTIFIED % sink.url) as world:
            source = world.config.sources["it"]
            for message in ("hello", "again"):
                assert (await world.received(source, certified(sink.url, message=message))).appended
            assert [each.path for each in sink.requests] == ["/one.pem"]
            with pytest.raises(SignatureRefused, match="does not match"):
                await world.received(source, certified(sink.url, key=rsa_key(1)))
            with pytest.raises(SignatureRefused, match="does not match"):
                await world.received(source, certified(sink.url, topic="theirs"))


@story
async def test_a_certificate_elsewhere_is_never_fetched(tmp_path):
    with Sink(answer(200, certificate())) as sink, Sink(answer(200, certificate())) as elsewhere:
        async with World(tmp_path, CERTIFIED % sink.url) as world:
            source = world.config.sources["it"]
            for url, name in ((elsewhere.url, "one"), (f"{sink.url}@{elsewhere.url[7:]}", "one"), (sink.url, "a/../b")):
                with pytest.raises(SignatureRefused, match="not the sender's"):
                    await world.received(source, certified(url, name))
            assert sink.requests == elsewhere.requests == []


@story
async def test_a_certificate_that_has_expired_is_refused(tmp_path):
    with Sink(answer(200, certificate(until=NOW - 1))) as sink:
        async with World(tmp_path, CERTIFIED % sink.url) as world:
            with pytest.raises(SignatureRefused, match="not valid at this time"):
                await world.received(world.config.sources["it"], certified(sink.url))


@story
async def test_whoever_names_many_certificates_makes_few_looks_and_known_ones_still_count(tmp_path):
    with Sink(answer(404)) as sink:
        sink.at("/one.pem", answer(200, certificate()))
        async with World(tmp_path, CERTIFIED % sink.url) as world:
            source = world.config.sources["it"]
            assert (await world.received(source, certified(sink.url))).appended
            for number in range(MOST_LOOKS + 10):
                with pytest.raises(KeysUnavailable):
                    await world.received(source, certified(sink.url, f"no-{number}"))
            assert len(sink.requests) == MOST_LOOKS
            assert (await world.received(source, certified(sink.url, message="again"))).appended


# --- for people ---


def test_the_verb_that_explains_a_request_fetches_the_keys_that_it_takes(tmp_path, capsys):
    with Sink(answer(200, KEYS)) as sink:
        (tmp_path / "routes.yaml").write_text(FILE % sink.url)
        written = {
            "method": "POST",
            "url": "https://hooks.example.com/in/it",
            "headers": [["Authorization", f"bearer {token()}"]],
            "body": BODY.decode(),
        }
        (tmp_path / "request.json").write_text(json.dumps(written))
        for at, code, said in (("1000", 0, "verified"), ("2000", 1, "refused: the token has expired")):
            found = verify.verify(
                config=tmp_path / "routes.yaml",
                source="it",
                request=tmp_path / "request.json",
                at=at,
                as_json=False,
            )
            assert (found, capsys.readouterr().out.splitlines()[-1]) == (code, said)


def test_pyjwt_is_imported_only_where_a_source_uses_it(tmp_path):
    (tmp_path / "routes.yaml").write_text(
        "version: 1\nsources: {x: {preset: xobito, secret: s3cret}}\ndestinations: {}\n"
    )
    code = (
        "import sys; from pathlib import Path; import gateway.server, gateway.pipeline; from gateway.config import load; "
        f"load(Path({str(tmp_path / 'routes.yaml')!r}), environ={{}}); "
        "assert not {'jwt', 'httpx', 'cryptography'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
