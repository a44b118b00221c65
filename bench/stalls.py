"""The longest time that one payload keeps everything else waiting.

``.venv/bin/python bench/stalls.py`` sends hostile bodies of 1 MiB through every synchronous piece of work on an event's
way, and prints the CPU time of the longest run of each: verifying by every scheme, receiving (JSON, forms, items), matching
and planning (``once``, ``order_by``), building the request for each kind of destination by several entries, judging and
hiding an answer, notifying of a dead delivery, and what pages and searches do on the loop. ``--mib 4`` makes larger bodies,
``--part`` runs one of the parts, ``--all`` prints every piece over the limit. The exit code is 1 if a piece took
longer than 50 ms per MiB.
"""

import argparse
import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from beside import hidden, looked_at, planned, read, verified, with_keys
from hostile import ELEMENTS, FILLINGS, payloads
from pieces import LIMIT, Piece, speed, timed

from gateway.config import load
from gateway.console.chats import preview
from gateway.console.text import pretty
from gateway.destinations import KINDS
from gateway.event.payload import payload_of
from gateway.model import Delivery, DeliveryState, HttpRequest, Reply
from gateway.rehearsal.rehearse import request_of
from gateway.routing import Config

NOW = 1_800_000_000.0

ADDRESSES = {
    "slack": "url: https://hooks.slack.com/services/T0/B0/abcdefghijklmnop",
    "discord": "url: https://discord.com/api/webhooks/1/abcdefghijklmnop",
    "telegram": "url: https://api.telegram.org/bot1:abcdefghijklmnop, chat_id: '1'",
    "teams": "url: https://x.example.com/workflows/abcdefghijklmnop",
    "googlechat": "url: https://chat.googleapis.com/v1/spaces/A/messages?key=abcdefgh&token=ijklmnopqr",
    "http": "url: https://crm.example.com",
    "file": "path: events.ndjson",
}

#: What an entry says, for every kind whose entries can say it.
SAID = {
    "a text": "text: 'New: {{ payload.text }}'",
    "a text, twice": "text: '{{ payload.text }} and {{ payload.text | upper }}'",
    "tojson": "text: '{{ payload | tojson }}'",
    "tojson in a body": "body: {text: '{{ payload | tojson }}'}",
    "a value": "body: {value: '{{ payload }}'}",
    "many values": "body: {a: '{{ payload }}', b: '{{ payload.text }}', c: '{{ payload }}', d: '{{ payload.text }}'}",
    "a loop": "text: '{% for one in payload.list %}{{ one }}, {% endfor %}'",
    "a busy loop": (
        "text: '{% for one in payload.list %}{% if one is string and \"x\" in one or one is number and one > 3 %}"
        "{{ loop.index }}: {{ one | string | upper | truncate(9) }}{% elif one.id is defined %}{{ one.id | default(1) }}"
        "{% else %}{{ one | tojson }}{% endif %}; {% endfor %}'"
    ),
    "loops in loops": "text: '{% for a in range(100) %}{% for b in range(98) %}{{ a * b }}{{ payload.text[:50] }}{% endfor %}{% endfor %}'",
    "a joined list": "text: '{{ payload.list | join(\", \") }}'",
    "a sorted list": "text: '{{ payload.list | sort | join(\", \") }}'",
    "a unique list": "text: '{{ payload.list | unique | map(\"id\") | join(\", \") }}'",
    "a mapped list": "text: '{{ payload.list | map(\"id\") | join(\", \") }}'",
    "chosen and grouped": "text: '{{ payload.list | selectattr(\"id\") | groupby(\"id\", \"x\") | length }}'",
    "a sum": "text: '{{ payload.list | sum_of(\"id * 2\") }}'",
    "lines": "text: '{{ payload.text | lines }} ```{{ payload.text }}``` {{ bold(payload.text) }}'",
    "items": "text: '{% for k, v in payload.object | items %}{{ k }}={{ v }} {% endfor %}'",
    "comparisons": "text: '{% for a in range(90) %}{% if payload.list == payload.copy %}.{% endif %}{% endfor %}'",
    "texts found": "text: '{% for a in range(90) %}{% if \"xyz\" in payload.text %}.{% endif %}{% endfor %}'",
    "split": "text: '{{ payload.text.split() | length }} {{ payload.text.splitlines() | length }}'",
    "concatenation": "text: '{{ payload.text ~ payload.text ~ payload.text ~ payload.text }}'",
    "a text that is cut by the author": "text: '{{ payload.text | truncate(200) }}'",
}  # fmt: skip
#: Filters of a text, for one kind.
FILTERED = (
    "capitalize", "lower", "title", "trim", "phone", "mask", "urlencode", "sha256", "reverse", "list | length", "date",
    "striptags", 'regex_replace("[^a-z]+", "y")', "number(2)", 'money("EUR")', "lines", "bold",
    'replace("x", "yy")', "truncate(40)", "int(0)", 'slack_link("x")', "unique | join", "join(',')",
)  # fmt: skip
#: Bodies of one kind only.
SHAPED = {
    ("slack", "blocks"): "template: slack.json.j2",
    ("slack", "blocks of values"): "body: {blocks: '{{ payload.list }}', attachments: '{{ payload.list }}'}",
    ("discord", "embeds of values"): "body: {content: '{{ payload.text }}', embeds: '{{ payload.list }}'}",
    ("teams", "card of values"): "body: {type: AdaptiveCard, body: '{{ payload.list }}', title: '{{ payload.text }}'}",
    ("googlechat", "cards of values"): "body: {text: '{{ payload.text }}', cardsV2: '{{ payload.list }}'}",
    ("telegram", "markup"): "text: '<b>{{ payload.text }}</b>{% for a in payload.list %}<i>{{ a }}</i>{% endfor %}'",
    ("http", "the bytes received"): "path: /x",
    ("http", "a query"): "body: {a: 1}, query: {q: '{{ payload.text }}', r: '{{ payload.list | tojson }}'}",
    ("http", "a path"): "body: {a: 1}, path: '/x/{{ payload.text }}'",
    ("http", "a header"): "body: {a: 1}, headers: {x-a: '{{ payload.text }}'}",
    ("http", "a form"): "form: {a: '{{ payload.text }}', b: '{{ payload }}'}",
    ("http", "a JSON file"): "template: all.json.j2",
    ("http", "an HTML file"): "template: all.html.j2",
    ("http", "a form file"): "template: all.form.j2",
    ("http", "a text file"): "template: all.txt.j2",
    ("file", "the bytes received"): "",
}
#: By name: the kind of its destination, what it says in words, and in routes.yaml.
ENTRIES = {
    f"e{number}": each
    for number, each in enumerate(
        [(kind, what, said) for kind in ADDRESSES for what, said in SAID.items()]
        + [
            ("http", f"| {each}", f'text: "{{{{ payload.text | {each.replace(chr(34), chr(39))} }}}}"')
            for each in FILTERED
        ]
        + [(kind, what, said) for (kind, what), said in SHAPED.items()]
    )
}
FILES = {
    "slack.json.j2": (
        '{"blocks": [{% for one in payload.list %}{"type": "section", "text": {"type": "mrkdwn", "text": "{{ payload.text }}"}},'
        '{% endfor %} {"type": "header", "text": {"type": "plain_text", "text": {{ payload.text }}}}], "text": "{{ payload.text }}"}'
    ),
    "all.json.j2": '{"all": {{ payload }}, "text": "{{ payload.text }}", "again": {{ payload | tojson }}}',
    "all.html.j2": "<p>{{ payload.text }}</p>{{ payload.list | tojson }}",
    "all.form.j2": "a={{ payload.text }}&b={{ payload.list | tojson }}",
    "all.txt.j2": "{{ payload.text }}\n\n\n{{ payload.list | tojson }}",
}
CONDITIONS = {
    "regex": "['(x+x+)+y', '^(.*?,){11}P', '[^a]*a[^b]*b']",
    "glob": "['*a*b*c*', '*x*y', 'x*x*x*x*z']",
    "contains": "['xyz', 'xxxxy', 7, null]",
    "prefix": "['xyz', 'xxxxy']",
    "suffix": "['xyz', 'xxxxy']",
    "equals_ignore_case": "['xyz', 'xxxxy']",
    "gt": "[5, '2026-01-01']",
    "not": "['xyz', 3]",
    "empty": "true",
}


def loaded(folder: Path, size: int) -> Config:
    (folder / "templates").mkdir()
    for name, text in FILES.items():
        (folder / "templates" / name).write_text(text)
    lines = [
        "version: 1",
        "defaults: {}",
        "sources:",
        f"  own: {{verify: none, max_body: {size + 1024}, type: '{{payload.text|last}}', id: ['{{payload.id}}', '{{payload.text}}'],",
        "        redact: [payload.text, 'payload.list.*.id', 'payload.object.*']}",
        "destinations:",
        *(f"  {kind}: {{type: {kind}, {address}}}" for kind, address in ADDRESSES.items()),
        "routes:",
    ]
    lines += [
        f"  - {{name: {name}, to: {kind}{', ' if said else ''}{said}}}" for name, (kind, _, said) in ENTRIES.items()
    ]
    lines += [
        f"  - {{name: where-{field}-{operator}, to: file, where: {{payload.{field}: {{{operator}: {operands}}}}}}}"
        for field in ("text", "list", "object")
        for operator, operands in CONDITIONS.items()
    ]
    (folder / "routes.yaml").write_text("\n".join(lines) + "\n")
    return load(folder / "routes.yaml", environ={})


def measured(config: Config, payload: str, body: bytes) -> Iterator[Piece]:
    """Every piece of work that a body makes."""

    def piece(stage: str, what: str, call: Callable[[], object]) -> tuple[Piece, object]:
        return timed(stage, what, payload, call)

    source = config.sources["own"]
    request = request_of(source, body, "", NOW)
    taken, received = piece(
        "receive", "verify, parse, name", lambda: source.received(request.headers, request.body, now=NOW)
    )
    yield taken
    if not isinstance(received, list):
        return
    [one] = received
    facts = source.naming.facts(one.event, one.payload)
    matched, entries = piece(
        "match", "every operator", lambda: config.sections.matching(source.naming.facts(one.event, one.payload))
    )
    yield matched
    yield piece("show", "the payload in the console", lambda: pretty(one.payload))[0]
    hide, _ = piece("judge", "redacted values hidden", lambda: source.redaction.mask_of(one.event)("x" * 16_384))
    yield hide
    del entries, facts
    for name, (destination, what, _) in ENTRIES.items():
        delivery = Delivery(
            id="dlv_1", event_id=one.event.id, route=name, destination=destination, state=DeliveryState.PENDING
        )

        def build(delivery: Delivery = delivery) -> object:

            return config.built(delivery, one.event, payload_of(one.event)).request

        built, sent = piece(f"build {destination}", what, build)
        yield built
        if isinstance(sent, HttpRequest) and KINDS[destination].needs_text:
            text = sent.body.decode("utf-8", "replace")
            yield piece(f"show {destination}", what, partial(preview, destination, text))[0]


def judged(config: Config) -> Iterator[Piece]:
    """Every kind reads answers of 16 KiB."""
    for filling, text in {**FILLINGS, **ELEMENTS}.items():
        answer = (text.encode() * 16_384)[:16_384]
        for answered in (answer, b"[" + b",".join([text.encode()] * (16_000 // len(text.encode()) // 2)) + b"]"):
            for status in (200, 400, 500):
                for destination in config.destinations.values():
                    reply = Reply(status=status, headers={"retry-after": "9" * 4_000}, body=answered)
                    judge = partial(destination.kind.judge, destination.target, reply, NOW)
                    yield timed(f"judge {destination.name}", f"{status}", filling, judge)[0]
                    yield timed(
                        f"judge {destination.name}", f"{status}", filling, partial(destination.kind.status_of, reply)
                    )[0]


def longest(pieces: list[Piece], key: Callable[[Piece], object]) -> Mapping[object, Piece]:
    found: dict[object, Piece] = {}
    for each in pieces:
        if key(each) not in found or found[key(each)].seconds < each.seconds:
            found[key(each)] = each
    return found


PARTS = ("events", "answers", "signatures", "forms", "plans", "pages", "secrets")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=float, default=1.0, help="MiB of each body")
    parser.add_argument("--only", default="", help="only bodies whose name contains this")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this part; may be repeated")
    parser.add_argument("--all", action="store_true", help="every piece that takes longer than the limit")
    options = parser.parse_args()
    size, limit = int(options.mib * (1 << 20)), LIMIT * max(options.mib, 1)
    with TemporaryDirectory() as name:
        config = loaded(Path(name), size)
        # As the server does.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 50, 100)
        made = {
            "events": (piece for payload, body in payloads(size) if options.only in payload for piece in measured(config, payload, body)),
            "answers": judged(config),
            "signatures": verified(size),
            "forms": read(size),
            "plans": planned(with_keys(Path(name) / "planning", size), size),
            "pages": looked_at(),
            "secrets": hidden(),
        }  # fmt: skip
        chosen = [made[part] for part in options.part or PARTS]
        pieces = [piece for part in chosen for piece in part if options.only in piece.payload]
    print(f"processor: {speed():.1f} ms for a loop of 200,000 steps\n")
    print(f"{'stage':<24}{'longest ms':>11}   {'with':<26} {'of':<36}")
    rows = (
        sorted(pieces, key=lambda each: -each.seconds)
        if options.all
        else longest(pieces, lambda each: each.stage).values()
    )
    for each in rows:
        if not options.all or each.seconds > limit:
            ended = f"  {each.said[:80]}" if each.said else ""
            print(f"{each.stage:<24}{each.seconds * 1000:>11.1f}   {each.payload:<30} {each.what:<36}{ended}")
    worst = max(pieces, key=lambda each: each.seconds)
    over = sum(each.seconds > limit for each in pieces)
    print(f"\nlongest {worst.seconds * 1000:.1f} ms; {over} of {len(pieces):,} pieces over {limit * 1000:.0f} ms")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
