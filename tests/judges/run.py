"""``make judges``: compare the verdicts of the vendors' own packages with this gateway's, both ways.

Every case is a valid request with one change. Intended differences are listed in differences.yaml, each with its reason;
any other difference makes the exit code 1. So does a request to a destination, signed as ``sign`` and ``auth.aws`` do, that
a package does not accept.
"""

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from msgspec.structs import replace

from gateway.config import load
from gateway.model import HttpRequest
from gateway.routing import Destination, Source
from gateway.signatures import Request, Verified

HERE = Path(__file__).parent
DIFFERENCES = HERE / "differences.yaml"
URL = "https://hooks.example.com/in/judged"
SEED = hashlib.sha256(b"judges").digest()
WHSEC = "whsec_" + base64.b64encode(SEED[:24]).decode()
OTHER = "whsec_" + base64.b64encode(SEED[8:32]).decode()
AWS = {"region": "eu-central-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"}
BODY = b'{"id": "evt_1", "type": "order.paid", "name": "Zo\xc3\xab & S\xc3\xb6hne", "amount": 12.50}'
FORM = b"CallSid=CA1234&Caller=%2B14158675309&Digits=1234&Name=Zo%C3%AB"

#: Preset, package, secret.
PAIRS = [
    ("standard-webhooks", "standardwebhooks", WHSEC),
    ("svix", "svix", WHSEC),
    ("clerk", "svix", WHSEC),
    ("resend", "resend", WHSEC),
    ("openai", "openai", WHSEC),
    ("replicate", "replicate", WHSEC),
    ("stripe", "stripe", "whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"),
    ("slack", "slack_sdk", "8f742231b10e8888abcd99yyyzzz85a5"),
    ("twilio", "twilio", "12345"),
    ("hubspot", "hubspot-api-client", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"),
    ("hubspot-v1", "hubspot-api-client v1", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"),
    ("hubspot-v2", "hubspot-api-client v2", "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy"),
    ("sendgrid", "sendgrid", ""),
    ("square", "squareup", "asdf1234"),
    ("discord", "discord-interactions", ""),
    ("paddle", "paddle-python-sdk", "pdl_ntfset_01h8zax4xrvbnvx2p1q8bz8hyn_secret"),
    ("workos", "workos", "whsec-of-workos"),
    ("razorpay", "razorpay", "razor-secret"),
    ("line", "line-bot-sdk", "8c570fa6dd201bb328f1c1eac23a96d8"),
]


class Judge:
    """The vendors' packages in their own environment."""

    def __init__(self, python: str) -> None:
        command = [python, "-W", "ignore", str(HERE / "vendors.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **asked: object) -> Mapping[str, object]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@dataclass(frozen=True)
class Subject:
    """One preset with the package that judges it."""

    source: Source
    package: str
    secret: str
    #: Signs as the vendor does, for schemes in which only the vendor has the key.
    own_sign: Callable[[bytes, float], Request] | None

    def signed(self, body: bytes, now: float, other_secret: bool = False) -> Request:
        if self.own_sign is not None:
            return self._alien(body, now) if other_secret else self.own_sign(body, now)
        verifier = self.source.verifier
        if other_secret:
            verifier = made(self.source.preset, self.secret[:-4] + "AAAA").verifier
        kind = b"application/x-www-form-urlencoded" if self.source.preset == "twilio" else b"application/json"
        signed = verifier.sign(Request(headers=[(b"content-type", kind)], body=body), now, "msg_judged")
        headers = [(name.encode(), value.encode()) for name, value in signed.headers]
        return Request(headers=[(b"content-type", kind), *headers], body=signed.body)

    def _alien(self, body: bytes, now: float) -> Request:
        return ASYMMETRIC[self.source.preset](hashlib.sha256(b"other").digest())[1](body, now)

    @property
    def signature_header(self) -> bytes:
        return self.source.verifier.schemes[0].signature.header.encode()


def made(preset: str, secret: str) -> Source:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        written = {"preset": preset, "secret": secret, "public_url": URL}
        path.write_text(yaml.safe_dump({"version": 1, "sources": {"judged": written}}))
        return load(path, environ={}).sources["judged"]


def discord_key(seed: bytes) -> tuple[str, Callable[[bytes, float], Request]]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def signed(body: bytes, now: float) -> Request:
        stamp = b"%d" % now
        headers = [(b"x-signature-ed25519", key.sign(stamp + body).hex().encode()), (b"x-signature-timestamp", stamp)]
        return Request(headers=headers, body=body)

    return raw.hex(), signed


def sendgrid_key(seed: bytes) -> tuple[str, Callable[[bytes, float], Request]]:
    key = ec.derive_private_key(int.from_bytes(seed), ec.SECP256R1())
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, form)).decode()

    def signed(body: bytes, now: float) -> Request:
        stamp, prefix = b"%d" % now, b"x-twilio-email-event-webhook-"
        signature = base64.b64encode(key.sign(stamp + body, ec.ECDSA(hashes.SHA256())))
        return Request(headers=[(prefix + b"signature", signature), (prefix + b"timestamp", stamp)], body=body)

    return public, signed


ASYMMETRIC = {"discord": discord_key, "sendgrid": sendgrid_key}


def subject(preset: str, package: str, secret: str) -> Subject:
    own_sign = None
    if preset in ASYMMETRIC:
        secret, own_sign = ASYMMETRIC[preset](SEED)
    return Subject(made(preset, secret), package, secret, own_sign)


# --- the cases ---


def cases(judged: Subject, now: float) -> Iterator[tuple[str, Request]]:
    """A valid request, and requests that differ from it by one change, each with its name."""
    body = FORM if judged.source.preset == "twilio" else BODY
    valid = judged.signed(body, now)
    yield "valid", valid
    yield "an empty body, signed", judged.signed(b"", now)
    yield "another byte in the body", replace(valid, body=body.replace(b"1", b"2", 1))
    yield "a space after the body", replace(valid, body=body + b" ")
    yield "the body formatted differently", replace(valid, body=body.replace(b": ", b":").replace(b"%2B", b"%2b"))
    yield "signed with another secret", judged.signed(body, now, other_secret=True)
    for text, seconds in {"4 minutes": 240, "6 minutes": 360, "an hour": 3600, "2 days": 172800}.items():
        yield f"signed {text} ago", judged.signed(body, now - seconds)
    yield "signed 2 minutes in the future", judged.signed(body, now + 120)
    yield "signed 10 minutes in the future", judged.signed(body, now + 600)
    for name in dict.fromkeys(name for name, _ in valid.headers if name != b"content-type"):
        yield f"without {name.decode()}", replace(valid, headers=[each for each in valid.headers if each[0] != name])
    yield from _signatures(judged, valid)
    yield from _timestamps(judged, valid)


def _signatures(judged: Subject, valid: Request) -> Iterator[tuple[str, Request]]:
    header = judged.signature_header
    value = dict(valid.headers)[header].decode()
    last = value.rstrip("=")[-1]
    changed = value.rstrip("=")[:-2] + ("A0" if last != "0" else "B1") + "=" * (len(value) - len(value.rstrip("=")))
    for name, text in {
        "another signature": changed,
        "an empty signature": "",
        "half a signature": value[: len(value) // 2],
        "the signature in upper case": value.upper(),
        "a space after the signature": value + " ",
        "a signature that is not ASCII": value[:-1] + "é",
        "an unknown version": value.replace("v1", "v9").replace("v0", "v9").replace("h1", "h9"),
        "twice in one header, separated by a comma": f"{changed}, {value}",
        "twice in one header, separated by a space": f"{changed} {value}",
    }.items():
        if name != "an unknown version" or text != value:
            yield name, replace(valid, headers=_with(valid, header, text))


def _timestamps(judged: Subject, valid: Request) -> Iterator[tuple[str, Request]]:
    stamp = judged.source.verifier.schemes[0].timestamp
    if stamp is None or not stamp.header:
        return
    header = stamp.header.encode()
    value = dict(valid.headers)[header].decode()
    texts = {
        "a second later": str(int(value) + 1),
        "not a number": "soon",
        "a fraction": value + ".5",
        "negative": "-" + value,
        "huge": "9" * 30,
        "with a space": " " + value,
        "in other digits": "".join(chr(0x660 + int(digit)) for digit in value),
    }
    for name, text in texts.items():
        yield f"the timestamp: {name}", replace(valid, headers=_with(valid, header, text))


def _with(request: Request, header: bytes, text: str) -> list[tuple[bytes, bytes]]:
    return [(name, text.encode() if name == header else value) for name, value in request.headers]


# --- the comparison ---


@dataclass(frozen=True)
class Difference:
    preset: str
    package: str
    case: str
    ours: str
    theirs: str


def compare(judge: Judge, judged: Subject, signs: bool, now: float) -> tuple[int, list[Difference]]:
    found, count = [], 0
    preset = judged.source.preset
    for name, request in cases(judged, now):
        count += 1
        ours = isinstance(judged.source.verifier.verify(request, now), Verified)
        said = judge.ask(do="verify", **_asked(judged, request, now))
        if ours != said["accepted"]:
            why = f" ({said['why']})" if said["why"] else ""
            found.append(Difference(preset, judged.package, name, _word(ours), _word(bool(said["accepted"])) + why))
    if signs:
        count += 1
        body = FORM if preset == "twilio" else BODY
        valid = judged.signed(body, now)
        headers = judge.ask(do="sign", **_asked(judged, valid, now))["headers"]
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        theirs = Request(headers=[*[each for each in valid.headers if each[0] == b"content-type"], *raw], body=body)
        if not isinstance(judged.source.verifier.verify(theirs, now), Verified):
            found.append(Difference(preset, judged.package, "signed by the package", "refused", "accepted"))
    return count, found


def _asked(judged: Subject, request: Request, now: float) -> Mapping[str, object]:
    return {
        "package": judged.package,
        "secret": judged.secret,
        "url": URL,
        "headers": {name.decode(): value.decode() for name, value in request.headers},
        "body": request.body.decode(),
        "now": now,
    }


def _word(accepted: bool) -> str:
    return "accepted" if accepted else "refused"


# --- what goes to destinations ---

#: ``sign`` or ``auth`` of a destination, the package, and what that is to verify with, besides PAIRS.
SIGNED = [
    ({"sign": {"secret": [WHSEC, OTHER]}}, "standardwebhooks", WHSEC),
    ({"sign": {"secret": [WHSEC, OTHER]}}, "svix", OTHER),
    (
        {"sign": {"preset": "stripe", "secret": ["the-new-secret-of-it", "the-old-secret-of-it"]}},
        "stripe",
        "the-old-secret-of-it",
    ),
    *(
        ({"auth": {"aws": {"service": name, **AWS}}}, "botocore", f"{name} {' '.join(AWS.values())}")
        for name in ("execute-api", "s3")
    ),
]


def outgoing(judge: Judge, now: float) -> Iterator[tuple[str, str, str]]:
    """The settings of each destination, the package, and why that refuses its request; empty: it accepts it."""
    named = [
        ({"sign": {"preset": preset, "secret": secret}}, package, secret) for preset, package, secret in PAIRS if secret
    ]
    for keys, package, secret in [*named, *SIGNED]:
        is_form = package == "twilio"
        kind = "application/x-www-form-urlencoded" if is_form else "application/json"
        request = HttpRequest(method="POST", url=URL, headers=(("content-type", kind),), body=FORM if is_form else BODY)
        signed = destination(keys).signed(request, "dlv_judged", now)
        assert isinstance(signed, HttpRequest)
        said = judge.ask(
            do="verify",
            package=package,
            secret=secret,
            url=signed.url,
            headers=dict(signed.headers),
            body=signed.body.decode(),
            now=now,
        )
        yield json.dumps(keys), package, "" if said["accepted"] else str(said["why"] or "refused")


def destination(keys: Mapping[str, object]) -> Destination:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "routes.yaml"
        path.write_text(yaml.safe_dump({"version": 1, "destinations": {"judged": {"url": URL, **keys}}}))
        return load(path, environ={}).destinations["judged"]


def known() -> Mapping[tuple[str, str], str]:
    """The reason for each intended difference, by preset and case."""
    listed = yaml.safe_load(DIFFERENCES.read_text("utf-8"))
    return {(preset, case): each["why"] for each in listed for preset in each["presets"] for case in each["cases"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="Python of the environment with the vendors' packages")
    judge = Judge(parser.parse_args().python)
    listed = judge.ask(do="list")
    reasons, unexplained, met = known(), [], set()
    print(f"{'preset':<20}{'package':<26}{'version':<18}{'ways':<6}{'cases':>6}{'agreed':>8}{'known':>7}")
    for preset, package, secret in PAIRS:
        about = listed[package]
        count, found = compare(judge, subject(preset, package, secret), about["signs"], time.time())
        new = [each for each in found if (each.preset, each.case) not in reasons]
        met |= {(each.preset, each.case) for each in found}
        unexplained += new
        ways = "both" if about["signs"] else "one"
        print(
            f"{preset:<20}{package:<26}{about['version']:<18}{ways:<6}{count:>6}{count - len(found):>8}{len(found) - len(new):>7}"
        )
    refused = [each for each in outgoing(judge, time.time()) if each[2]]
    judge.close()
    print(f"requests to destinations that a package refuses: {len(refused)}")
    for keys, package, why in refused:
        print(f"\n{keys}\n  {package}: {why}")
    for each in unexplained:
        print(f"\n{each.preset}: {each.case}\n  here: {each.ours}\n  {each.package}: {each.theirs}")
    for preset, case in sorted(reasons.keys() - met):
        print(f"\n{preset}: {case}: listed in differences.yaml, but both agree now")
    return 1 if unexplained or refused or reasons.keys() - met else 0


if __name__ == "__main__":
    sys.exit(main())
