"""Pieces of work beside the way of one event: verifying, items, keys, notices, pages, searches, answers and secrets."""

import base64
import json
import random
import string
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hostile import ELEMENTS, FILLINGS, forms, payloads
from msgspec.structs import replace
from pieces import Piece, timed

from gateway import console, presets
from gateway.config import load
from gateway.event.payload import parse_body, payload_of
from gateway.hiding.masks import Masks
from gateway.model import Delivery, DeliveryState, Notice
from gateway.operate import selection, views
from gateway.operate.selection import Filter
from gateway.routing import Config, Received, planning
from gateway.signatures import Request
from gateway.signatures.checks import Check, stand_in_for
from gateway.signatures.credentials import Credential
from gateway.signatures.declared import scheme_of
from gateway.signatures.request import Stop
from gateway.signatures.schemes import Scheme
from gateway.signatures.signing import CannotSign
from gateway.signatures.timestamps import written_time
from gateway.signatures.verifier import Verifier
from gateway.store.nouns import EventRow
from gateway.web.live import ROWS

NOW = 1_800_000_000.0
URL = "https://gateway.example.com/in/own"
#: Secrets of a source in the middle of two rotations.
SECRETS = 3

#: Ways to sign that presets have not, or not all at once.
DECLARED = {
    "sha512 of everything": {
        "signature": {"header": "x-s", "algorithm": "sha512", "signed": "{method}.{url}.{id}.{timestamp}.{header:x-h}.{body}", "list": " ", "prefix": "v1,"},
        "timestamp": {"header": "x-t"}, "id": {"header": "x-i"},
    },
    "a form": {"signature": {"header": "x-s", "signed": "{url}{form}"}},
    "plain-sha1": {"signature": {"header": "x-s", "algorithm": "plain-sha1", "signed": "{secret}{body}"}},
    "a field of the payload": {"signature": {"body": "id", "signed": "{payload:text}"}, "unsigned_body": "accept"},
}  # fmt: skip
ASYMMETRIC = {
    name: {"signature": {"header": "x-s", "algorithm": name, "encoding": "base64", "list": ",", "prefix": "v1=", "signed": "{body}"}}
    for name in ("ed25519", "ecdsa-p256")
}  # fmt: skip


def verified(size: int) -> Iterator[Piece]:
    """Every kind of scheme with three secrets: a request that is signed, and one with as many wrong signatures as fit."""
    schemes: dict[str, list[Scheme]] = {}
    known: set[str] = set()
    for name in presets.NAMES:
        # A token is checked with keys that are fetched: no secret signs it.
        blocks = [block for block in presets.load(name).verify if not {"none", "jwt"} & block.keys()]
        if (kind := repr(unnamed(blocks))) not in known:
            known.add(kind)
            schemes[name] = [scheme_of(block) for block in blocks]
    schemes |= {name: [scheme_of(block)] for name, block in (DECLARED | ASYMMETRIC).items()}
    bodies = [(what, "application/json", body) for what, body in payloads(size) if what in VERIFIED]
    bodies += [form for form in forms(size) if form[0] in VERIFIED]
    for name, found in schemes.items():
        if not found:
            continue
        secrets = [Credential(stand_in_for(found[0], f"secret of the benchmark {n}")) for n in range(SECRETS)]
        verifier = Verifier(tuple(found), tuple(secrets), public_url=URL)
        for what, kind, body in bodies:
            for request in requests(verifier, kind, body):
                yield timed(f"verify {name}"[:24], "signatures", what, partial(verifier.verify, request, NOW))[0]


def unnamed(block: Any) -> Any:
    """A declared scheme without the names of its headers, which make no difference to what it costs."""
    if isinstance(block, Mapping):
        return {name: "" if name in ("header", "prefix") else unnamed(each) for name, each in sorted(block.items())}
    return [unnamed(each) for each in block] if isinstance(block, list) else block


VERIFIED = (
    "a text of x",
    "brackets in a text",
    "a list of numbers",
    "a deep list",
    "a form of many fields",
    "a form of blanks",
    "a form of escapes",
)


def requests(verifier: Verifier, kind: str, body: bytes) -> Iterator[Request]:
    request = Request(
        headers=[(b"content-type", kind.encode()), (b"x-h", b"h" * 8_000)], query=b"q=" + b"x" * 8_000, body=body
    )
    try:
        signed = verifier.sign(request, NOW, "msg_1")
    except (CannotSign, Stop):
        # Its signature covers fields that the body does not have.
        signed = None
    if signed is not None:
        headers = [(name.encode(), value.encode("latin-1")) for name, value in signed.headers]
        yield replace(
            request, headers=[*request.headers, *headers], body=signed.body, path_secret=signed.path_secret.encode()
        )
    # Signatures of the right form, as many as a header holds.
    for check in verifier._checks:  # noqa: SLF001  nothing else needs to know how a signature is checked
        knobs = check.scheme.signature
        if check.scheme.way == "signature" and knobs.header:
            yield replace(request, headers=[*request.headers, *wrong(check)])


def wrong(check: Check) -> Iterator[tuple[bytes, bytes]]:
    knobs = check.scheme.signature
    made = b"x" * 64
    if knobs.algorithm == "ed25519":
        made = ed25519.Ed25519PrivateKey.generate().sign(b"something else")
    if knobs.algorithm == "ecdsa-p256":
        made = ec.generate_private_key(ec.SECP256R1()).sign(b"something else", ec.ECDSA(hashes.SHA256()))
    text = base64.b64encode(made).decode() if knobs.encoding == "base64" else made.hex()
    one = f"{knobs.field}={knobs.prefix}{text}" if knobs.field else knobs.prefix + text
    divider = knobs.separator if knobs.field else knobs.divider
    stamp = f"{knobs.timestamp_field}={NOW:.0f}{divider}" if knobs.timestamp_field else ""
    yield knobs.header.encode(), (stamp + (divider.join([one] * (30_000 // len(one))) if divider else one)).encode()
    if check.scheme.timestamp and check.scheme.timestamp.header:
        text = written_time(NOW, check.scheme.timestamp.unit)
        yield check.scheme.timestamp.header.encode(), text.encode()
    if check.scheme.id_header:
        yield check.scheme.id_header.encode(), b"i" * 8_000


def read(size: int) -> Iterator[Piece]:
    """Bodies that are not JSON."""
    for what, kind, body in forms(size):
        yield timed("receive a form", kind.partition(";")[0], what, partial(parse_body, body, kind))[0]


PLANNED = """\
version: 1
sources:
  own: {{verify: none, max_body: {size}, type: '{{payload.type}}', id: ['{{payload.id}}'], split: ['payload.*', payload.items.*]}}
destinations:
  ordered: {{type: http, url: 'https://crm.example.com', order_by: payload.list}}
  whole: {{type: http, url: 'https://crm2.example.com', order_by: payload.object}}
routes:
  - {{name: once, to: [ordered, whole], once: {{per: '{{{{ payload | tojson }}}}', for: 1h}}}}
  - {{name: twice, to: [ordered, whole], once: {{per: '{{{{ payload.text }}}}', for: 1h}}}}
  - {{name: part, to: whole, if: '"xyz" in payload.text or payload.list == payload.copy'}}
  - {{name: other, to: whole, where: {{payload.text: {{regex: '(x+x+)+y'}}}}}}
failed:
  - {{name: told, to: whole, text: '{{{{ delivery.reason }}}} {{{{ payload.text }}}}', if: '"xyz" in payload.text', where: {{payload.list: {{contains: 1}}}}}}
"""


def with_keys(folder: Path, size: int) -> Config:
    folder.mkdir()
    (folder / "routes.yaml").write_text(PLANNED.format(size=size + 1024))
    return load(folder / "routes.yaml", environ={})


def planned(config: Config, size: int) -> Iterator[Piece]:
    """Keys of ``once`` and ``order_by``, notices of dead deliveries, and bodies of many items."""
    source = config.sources["own"]
    notice = Notice(id="dlv_1", destination="whole", route="once", attempts=1, reason="x" * 500, status=None)
    for what, body in payloads(size):
        piece, received = timed(
            "receive items", "verify, parse, name", what, lambda body=body: source.received([], body, now=NOW)
        )
        yield piece
        if not isinstance(received, list):
            continue
        one = received[0]
        yield from plans([one], config, what)
        yield timed("tell", "failed", what, lambda one=one: config.tell(notice, one.event, payload_of(one.event)))[0]
    for most in (1, 100, 1_000):
        for name, element in ELEMENTS.items():
            item = f'{{"type":"t.x","id":"@","list":[{",".join([element] * max(1, size // most // (len(element) + 2) - 60 // len(element)))}]}}'
            items = ",".join(item.replace("@", str(n)) for n in range(most)).encode()
            for form, whole in (("a list", b"[" + items + b"]"), ("a field", b'{"items":[' + items + b"]}")):
                what = f"{most} items of {name} in {form}"
                piece, received = timed(
                    "receive items",
                    "verify, parse, name",
                    what,
                    lambda whole=whole: source.received([], whole, now=NOW),
                )
                yield piece
                if isinstance(received, list):
                    yield from plans(received, config, what)


def plans(received: list[Received], config: Config, what: str) -> Iterator[Piece]:
    """What is done for the events of a request at once, and what is done in the end for all of them."""
    source = config.sources["own"]
    turn = received[: 1 + planning.TURN // (planning.EACH + len(received[0].event.body))]
    yield timed("match items", "where, if", what, lambda: [planning.matching(one, config, source) for one in turn])[0]
    found = [(one, *planning.matching(one, config, source)) for one in turn]
    yield timed("plan", "once, order_by", what, lambda: [planning.keyed(*one, config, source) for one in found])[0]
    every = [planning.plan(one, config, source) for one in received]
    yield timed("plan", "deliveries", what, lambda: [one.new_event(config, lambda _: 30.0) for one in every])[0]


def looked_at() -> Iterator[Piece]:
    """Words of a search, rows of the live stream, and the event page's answer; its making is off the loop."""
    for name, filling in FILLINGS.items():
        text = (filling * 32_768)[: 32_768 // len(filling.encode())]
        yield timed("search", "words", name, partial(selection.words, text))[0]
        for asked in (text, f"payload.a={text}", f"headers.a={text}"):

            def search(asked: str = asked) -> object:
                try:
                    return selection.event_search(Filter(q=asked), None, NOW, limit=50)
                except Exception as error:  # noqa: BLE001  a refusal is an answer
                    return error

            yield timed("search", "filter", name, search)[0]
        deliveries = tuple(
            Delivery(id=f"dlv_{n}", event_id="evt_1", route=text[:200], destination=text[:200], state=DeliveryState.DEAD,
                     reason=text[:500], last_answer=text[:1024], attempts=n)
            for n in range(20)
        )  # fmt: skip
        row = EventRow(
            id="evt_1",
            source=text[:200],
            type=text[:200],
            received_at=NOW,
            size=1 << 20,
            deliveries=deliveries,
            position="1",
        )
        shown = [views.event_row(row) for _ in range(ROWS)]
        yield timed(
            "live", "50 rows", name, partial(console.live_rows, shown, now="2026-01-01T00:00:00.000Z", can_write=True)
        )[0]


def hidden() -> Iterator[Piece]:
    """Answers of 16 KiB in which 1,000 secrets are looked for."""
    rnd = random.Random(1)
    alphabet = string.ascii_letters + string.digits
    for count in (10, 1_000):
        secrets = ["".join(rnd.choices(alphabet, k=rnd.choice((4, 8, 32, 200)))) for _ in range(count)]
        masks = Masks([*secrets, "aaaa", "aaaaaaaa"], own={"one": secrets[:50]})
        masks.prepare()
        some = " ".join(secrets)
        texts = FILLINGS | {
            "a": "a", "secrets": some, "secrets in hex": some.encode().hex(), "secrets in JSON": json.dumps(json.dumps(some)),
            "secrets in base64": base64.b64encode(some.encode()).decode(), "secrets percent-encoded": "".join(f"%{b:02x}" for b in some.encode()),
            "random": "".join(rnd.choices(string.printable, k=16_384)), "nested escapes": "\\\\\\\\u0061",
        }  # fmt: skip
        for name, text in texts.items():
            answer = (text.encode() * 16_384)[:16_384]
            yield timed("hide", f"{count} secrets", name, partial(masks.answer, answer, "one"))[0]
            yield timed(
                "hide",
                f"{count} secrets",
                name,
                partial(masks.reason, answer.decode("utf-8", "replace")[:2_000], "one"),
            )[0]
