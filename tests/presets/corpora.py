"""``make corpora``: how many of the examples that vendors publish are accepted, named, rendered and forwarded unchanged.

The examples are fetched with the ordinary client of their registry, so this needs npm and the internet. The exit code is
1 unless every example passes.
"""

import json
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.config import load
from gateway.event.naming import UNKNOWN_TYPE
from gateway.model import Delivery
from gateway.signatures import Request, Verified

NOW = 1_800_000_000.0
PASSED = ("accepted", "named", "with attrs", "rendered", "unchanged")
ROUTES = """\
version: 1
sources: {it: {preset: %s, secret: a-secret-of-the-corpora, max_body: 64MiB}}
destinations: {crm: {url: https://crm.example.com/in}, chat: {url: https://chat.example.com/in}}
always: [{name: exact, to: crm}]
routes: [{name: said, to: chat, text: "{{ event.type }}: {{ attrs | tojson }}"}]
"""


@dataclass(frozen=True)
class Example:
    """One request as its vendor publishes it."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


def github(package: Path) -> Iterator[Example]:
    for each in json.loads((package / "api.github.com" / "index.json").read_text("utf-8")):
        for example in each["examples"]:
            yield Example(((b"x-github-event", each["name"].encode()),), json.dumps(example).encode())


#: Preset, package, how to read it.
CORPORA = [("github", "@octokit/webhooks-examples@7.6.1", github)]


def fetched(package: str, folder: Path) -> Path:
    """The unpacked package."""
    done = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True)
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


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
    if all(each.event.type != UNKNOWN_TYPE for each in found):
        yield "named"
    if all(each["attrs"] for each in facts):
        yield "with attrs"
    sent = [
        {
            route: config.build(
                Delivery(id="dlv_1", event_id=each.event.id, route=route, destination=to), each.event, each.payload
            )
            for route, to in config.plan(source, known)
        }
        for each, known in zip(found, facts, strict=True)
    ]
    if all(each["said"].body for each in sent):
        yield "rendered"
    if all(each["exact"].body == one.event.body for each, one in zip(sent, found, strict=True)):
        yield "unchanged"


def main() -> int:
    failed = False
    for preset, package, read in CORPORA:
        with TemporaryDirectory() as folder:
            (Path(folder) / "routes.yaml").write_text(ROUTES % preset)
            config = load(Path(folder) / "routes.yaml", environ={})
            examples = list(read(fetched(package, Path(folder))))
            counted = Counter(word for example in examples for word in passed(config, example))
        print(f"{preset}: {len(examples)} examples of {package}; " + ", ".join(f"{counted[w]} {w}" for w in PASSED))
        failed = failed or any(counted[word] != len(examples) for word in PASSED)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
