"""The cost of accepting an event, without the disk: verifying by each scheme, and a Xobito event up to its deliveries.

``.venv/bin/python bench/door.py`` prints the CPU time of one call in microseconds, the lowest of several runs.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway import presets
from gateway.config import load
from gateway.rehearsal.rehearse import request_of
from gateway.routing import Config
from gateway.signatures import VERIFIED, Request

NOW = 1_800_000_000.0
SHARED_SECRETS = ["xobito", "stripe", "slack", "standard-webhooks", "shopify", "twilio", "gitlab-token", "hubspot"]
SEED = hashlib.sha256(b"bench").digest()
PLANNED = """\
version: 1
sources:
  xobito: {preset: xobito, secret: s3cret}
destinations:
  crm: {url: https://crm.example.com}
routes:
  - {match: contact.created, to: crm}
"""


def main() -> None:
    with TemporaryDirectory() as folder:
        print(f"{'verify':<24}{'1 KiB us':>10}{'1 MiB us':>10}")
        for name in SHARED_SECRETS:
            source = loaded(Path(folder), sources_of(name)).sources[name]
            told(name, source, [request_of(source, body(size), now=NOW) for size in (1024, 1024 * 1024)])
        for name, (secret, sign) in {"discord": by_ed25519(), "sendgrid": by_ecdsa()}.items():
            source = loaded(Path(folder), sources_of(name, secret)).sources[name]
            told(name, source, [sign(body(size)) for size in (1024, 1024 * 1024)])
        print(f"\nverify, parse, name and match one Xobito event: {way_in(loaded(Path(folder), PLANNED)):.1f} us")


def told(name: str, source, requests: list[Request]) -> None:
    figures = [best(lambda request=request: verified(source, request)) for request in requests]
    print(f"{name:<24}{figures[0]:>10.1f}{figures[1]:>10.0f}")


def verified(source, request: Request) -> None:
    if source.verifier.verify(request, NOW) is not VERIFIED:
        raise SystemExit(f"{source.name} refused its own request")


def best(call: Callable[[], object], runs: int = 7, seconds: float = 0.1) -> float:
    """CPU time of one call, in microseconds."""
    call()
    found = []
    for _ in range(runs):
        times, began = 0, time.process_time()
        while time.process_time() - began < seconds / runs or not times:
            call()
            times += 1
        found.append((time.process_time() - began) / times)
    return min(found) * 1e6


def body(size: int) -> bytes:
    return b'{"id": 7, "text": "' + b"x" * (size - 21) + b'"}'


def sources_of(name: str, secret: str = "s3cret") -> str:
    fits = name != "standard-webhooks"
    written = secret if fits else "whsec_" + base64.b64encode(SEED).decode()
    return f'version: 1\nsources:\n  {name}: {{preset: {name}, secret: "{written}", public_url: "https://hooks.example.com/in"}}\n'


def loaded(folder: Path, text: str) -> Config:
    (folder / "routes.yaml").write_text(text)
    return load(folder / "routes.yaml", environ={})


def by_ed25519() -> tuple[str, Callable[[bytes], Request]]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    stamp = b"%d" % NOW

    def signed(body: bytes) -> Request:
        headers = [(b"x-signature-ed25519", key.sign(stamp + body).hex().encode()), (b"x-signature-timestamp", stamp)]
        return Request(headers=headers, body=body)

    return raw.hex(), signed


def by_ecdsa() -> tuple[str, Callable[[bytes], Request]]:
    key = ec.derive_private_key(int.from_bytes(SEED), ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()
    stamp = b"%d" % NOW

    def signed(body: bytes) -> Request:
        signature = base64.b64encode(key.sign(stamp + body, ec.ECDSA(hashes.SHA256())))
        prefix = b"x-twilio-email-event-webhook-"
        return Request(headers=[(prefix + b"signature", signature), (prefix + b"timestamp", stamp)], body=body)

    return public, signed


def way_in(config: Config) -> float:
    source = config.sources["xobito"]
    request = request_of(source, presets.load("xobito").samples["contact.created"], "contact.created", NOW)

    def once() -> None:
        verified(source, request)
        for each in source.received(request.headers, request.body, now=NOW):
            config.plan(source, source.naming.facts(each.event, each.payload))

    return best(once)


if __name__ == "__main__":
    main()
