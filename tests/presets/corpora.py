"""``make corpora``: how many of the examples in public packages are accepted, named, rendered and forwarded unchanged.

Each example is signed with a secret of this file's, as its sender would have done it. The packages are fetched with the
ordinary clients of their registries, so this needs npm, pip and the internet. The exit code is 1 unless every example
passes and each package has as many as are known.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.config import load
from gateway.event.naming import UNKNOWN_TYPE
from gateway.model import Delivery
from gateway.signatures import Request, Verified
from tests.presets.literals import in_javascript, in_python
from tests.presets.packages import PACKAGES, texts

NOW = 1_800_000_000.0
PASSED = ("accepted", "named", "with attrs", "rendered", "unchanged")
#: Names that say no more than the envelope does.
VAGUE = {UNKNOWN_TYPE, "messages", "messaging", "standby"}
ROUTES = """\
version: 1
sources: {it: {preset: %s, secret: a-secret-of-the-corpora, max_body: 64MiB}}
destinations: {crm: {url: https://crm.example.com/in}, chat: {url: https://chat.example.com/in}}
always: [{name: exact, to: crm}]
routes: [{name: said, to: chat, text: "{{ event.type }}: {{ attrs | tojson }}"}]
"""


@dataclass(frozen=True)
class Example:
    """One request as its package has it, or as its vendor would send what the package has."""

    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def github(archive: Path) -> Iterator[Example]:
    [index] = texts(archive, "/api.github.com/index.json")
    for each in json.loads(index):
        for example in each["examples"]:
            yield Example(json.dumps(example).encode(), ((b"x-github-event", each["name"].encode()),))


def line(archive: Path) -> Iterator[Example]:
    for text in texts(archive, "/tests/v3/text/webhook.json"):
        yield Example(text.encode())


Shape = Callable[[dict[str, Any]], dict[str, Any] | None]


def written(shape: Shape) -> Callable[[Path], Iterable[Example]]:
    """The requests that a package's files have as literals, each once."""

    def read(archive: Path) -> Iterable[Example]:
        literals = [found for text in texts(archive, ".py") for found in in_python(text)]
        literals += [found for text in texts(archive, ".js") for found in in_javascript(text)]
        requests = (shape(each) for each in literals)
        return list(dict.fromkeys(Example(json.dumps(each).encode()) for each in requests if each is not None))

    return read


def stripe(found: dict[str, Any]) -> dict[str, Any] | None:
    """An event; a record of the API alone is put into the event of its change."""
    match found:
        case {"type": str(), "data": {"object": {}}}:
            return found
        case {"object": str(kind), "id": str()} if kind not in {"list", "line_item", "event"}:
            return {"id": "evt_1", "object": "event", "type": f"{kind}.updated", "data": {"object": found}}
    return None


def whatsapp(found: dict[str, Any]) -> dict[str, Any] | None:
    """A request, or the value of one of its changes."""
    match found:
        case {"object": "whatsapp_business_account", "entry": [_, *_]}:
            return found
        case {"metadata": {}, "messages": [_, *_]} | {"metadata": {}, "statuses": [_, *_]}:
            change = {"field": "messages", "value": found}
            return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    return None


def messenger(found: dict[str, Any]) -> dict[str, Any] | None:
    """A request, or one of the messages in it."""
    match found:
        case {"body": {"object": "page"} as request}:
            return messenger(request)
        case {"object": "page", "entry": [{"messaging": [{"timestamp": _}, *_]}, *_]}:
            return found
        case {"sender": {}, "recipient": {}, "timestamp": _}:
            return {"object": "page", "entry": [{"id": "1", "time": NOW, "messaging": [found]}]}
    return None


def telegram(found: dict[str, Any]) -> dict[str, Any] | None:
    match found:
        case {"body": {"update_id": _} as request}:
            return request
        case {"update_id": _}:
            return found
    return None


def slack(found: dict[str, Any]) -> dict[str, Any] | None:
    match found:
        case {"body": {"type": "event_callback"} as request}:
            return slack(request)
        case {"type": "event_callback", "event": {"type": str()}}:
            return found
    return None


@dataclass(frozen=True)
class Corpus:
    """The examples of one package for one preset, and how many it is known to have."""

    preset: str
    package: str
    read: Callable[[Path], Iterable[Example]]
    known: int


CORPORA = [
    Corpus("github", "@octokit/webhooks-examples", github, 329),
    Corpus("stripe", "pinax-stripe", written(stripe), 22),
    Corpus("stripe", "django-stripe-payments", written(stripe), 9),
    Corpus("meta", "whatsapp-client", written(whatsapp), 15),
    Corpus("meta", "whatsapp-cloud-api-py", written(whatsapp), 2),
    Corpus("meta", "waba-sdk", written(whatsapp), 2),
    Corpus("meta", "botly", written(messenger), 5),
    Corpus("meta", "bottender", written(messenger), 33),
    Corpus("telegram", "bottender", written(telegram), 9),
    Corpus("slack", "bottender", written(slack), 4),
    Corpus("line", "line-bot-sdk", line, 1),
]


def passed(config, example: Example) -> Iterator[str]:
    """What holds for an example."""
    source = config.sources["it"]
    plain = Request(headers=[(b"content-type", b"application/json"), *example.headers], body=example.body)
    signature = [(name.encode(), value.encode()) for name, value in source.verifier.sign(plain, NOW, "msg_1").headers]
    request = Request(headers=[*plain.headers, *signature], body=example.body)
    if not isinstance(source.verifier.verify(request, NOW), Verified):
        return
    yield "accepted"
    found = source.received(request.headers, request.body, now=NOW)
    facts = [source.naming.facts(each.event, each.payload) for each in found]
    if all(each.event.type not in VAGUE for each in found):
        yield "named"
    if all(each["attrs"] for each in facts):
        yield "with attrs"
    sent = [
        {
            route: config.built(
                Delivery(id="dlv_1", event_id=each.event.id, route=route, destination=to), each.event, each.payload
            ).request
            for route, to in config.plan(source, known)
        }
        for each, known in zip(found, facts, strict=True)
    ]
    if all(each["said"].body for each in sent):
        yield "rendered"
    if all(each["exact"].body == one.event.body for each, one in zip(sent, found, strict=True)):
        yield "unchanged"


def counted(corpus: Corpus, examples: Iterable[Example], folder: Path) -> Counter[str]:
    """How many examples pass each of the checks."""
    (folder / "routes.yaml").write_text(ROUTES % corpus.preset)
    config = load(folder / "routes.yaml", environ={})
    return Counter(word for example in examples for word in passed(config, example))


def main() -> int:
    with TemporaryDirectory() as created:
        folder = Path(created)
        archives = {name: PACKAGES[name].fetched(folder) for name in dict.fromkeys(each.package for each in CORPORA)}
        print(f"{'preset':<10}{'package':<40}" + "".join(f"{word:>12}" for word in ("known", "found", *PASSED)))
        failed = False
        for corpus in CORPORA:
            examples = list(corpus.read(archives[corpus.package]))
            counts = counted(corpus, examples, folder)
            figures = [corpus.known, len(examples), *(counts[word] for word in PASSED)]
            print(f"{corpus.preset:<10}{PACKAGES[corpus.package]!s:<40}" + "".join(f"{each:>12}" for each in figures))
            failed = failed or any(each != corpus.known for each in figures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
