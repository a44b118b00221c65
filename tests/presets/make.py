"""Write the first vectors of a preset from its samples, signed by a shell command that follows the vendor's page.

    python -m tests.presets.make helpdesk --tolerance 300 \\
        --header 'X-Helpdesk-Signature: t=$TIMESTAMP,v1=$SIGNATURE' \\
        'printf "%s" "$TIMESTAMP.$BODY" | openssl dgst -sha256 -hmac "$SECRET"'

The command has BODY, TIMESTAMP and SECRET in its environment; SIGNATURE is the last word that it prints. Nothing is
taken from the preset but its samples, so a mistake in the preset does not repeat itself in its vectors: give the
tolerance, in seconds, as the vendor's page says it.
"""

import argparse
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template

from gateway import presets

FOLDER = Path(__file__).parent / "vectors"
AT = 1772443805
SECRET = "made-up-for-tests"
#: What stands before a signature in its header: ``sha256=``, ``v1=``.
_PREFIX = re.compile(r"[\w-]+=(?=\$\{?SIGNATURE)")

Vector = Mapping[str, object]


@dataclass(frozen=True)
class Signer:
    """How the vendor signs: header lines with variables, and the command that prints the signature."""

    headers: Sequence[str]
    command: str
    #: How long a signed timestamp is accepted, seconds; None: none is signed.
    tolerance: int | None = None
    secret: str = SECRET

    def signed(self, body: str, said_at: int = AT) -> Sequence[Sequence[str]]:
        """The headers of a request that is signed at ``AT`` and says it was at ``said_at``."""
        known = {"BODY": body, "TIMESTAMP": str(AT), "SECRET": self.secret}
        done = subprocess.run(
            ["bash", "-c", self.command], env={**os.environ, **known}, capture_output=True, text=True, check=True
        )
        printed = done.stdout.split()
        if not printed:
            raise ValueError(f"the command prints no signature: {self.command}")
        known |= {"SIGNATURE": printed[-1], "TIMESTAMP": str(said_at)}
        return [line.split(": ", 1) for line in (Template(each).substitute(known) for each in self.headers)]

    @property
    def without_prefix(self) -> Sequence[str]:
        """The headers with the bare signature in place of ``sha256=...``."""
        return [_PREFIX.sub("", each) for each in self.headers]


def vectors(samples: Mapping[str, bytes], headers: Mapping[str, Mapping[str, str]], signer: Signer) -> Iterator[Vector]:
    """One accepted request for each sample, and what must be refused of the first."""
    for type_, body in samples.items():
        yield vector(f"{type_} is accepted", body.decode(), headers[type_], signer)
    if not samples:
        return
    type_, body = next((type_, body.decode()) for type_, body in samples.items())
    good = vector("", body, headers[type_], signer)
    request = good["request"]
    refused = {"verdict": "refused"}
    yield {**good, "name": "a changed body is refused", "request": {**request, "body": f"{body} "}, **refused}
    yield {**good, "name": "a signature by another secret is refused", "secrets": ["another-secret"], **refused}
    unsigned = {**request, "headers": [list(each) for each in headers[type_].items()]}
    yield {**good, "name": "a request without a signature is refused", "request": unsigned, **refused}
    if list(signer.without_prefix) != list(signer.headers):
        bare = vector(
            "a signature without what stands before it is refused",
            body,
            headers[type_],
            replace(signer, headers=signer.without_prefix),
        )
        yield {**bare, **refused}
    if signer.tolerance is not None:
        yield {**good, "name": "a timestamp of the longest tolerance is accepted", "at": AT + signer.tolerance}
        yield {**good, "name": "an older timestamp is refused", "at": AT + signer.tolerance + 1, **refused}
        yield {**good, "name": "a timestamp of later is refused", "at": AT - signer.tolerance - 1, **refused}
        yield {**vector("a timestamp that was not signed is refused", body, headers[type_], signer, AT + 1), **refused}


def vector(name: str, body: str, headers: Mapping[str, str], signer: Signer, said_at: int = AT) -> Vector:
    signed = [list(each) for each in (*headers.items(), *signer.signed(body, said_at))]
    url = "https://hooks.example.com/in/source"
    return {
        "name": name,
        "request": {"method": "POST", "url": url, "headers": signed, "body": body},
        "secrets": [signer.secret],
        "at": AT,
        "verdict": "accepted",
        "made_with": signer.command,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("command", help="prints the signature of $BODY with $SECRET, and of $TIMESTAMP")
    parser.add_argument("--header", action="append", required=True, help="'Name: value', with $SIGNATURE in it")
    parser.add_argument("--tolerance", type=int, help="how long the vendor accepts a timestamp, seconds")
    parser.add_argument("--secret", default=SECRET, help="if the vendor's secrets have a form")
    given = parser.parse_args()
    if given.preset not in presets.NAMES:
        parser.error(f"there is no gateway/presets/{given.preset}.yaml: write it first")
    if wrong := [each for each in given.header if ": " not in each]:
        parser.error(f"--header {wrong[0]!r}: write 'Name: value', with a space after the colon")
    if "$TIMESTAMP" in given.command and given.tolerance is None:
        parser.error("a timestamp is signed: say how long the vendor accepts it, for example --tolerance 300")
    path = FOLDER / f"{given.preset}.json"
    if path.exists():
        parser.error(f"{path} exists: add to it by hand, or remove it first")
    preset = presets.load(given.preset)
    signer = Signer(given.header, given.command, given.tolerance, given.secret)
    try:
        made = list(vectors(preset.samples, preset.sample_headers, signer))
    except KeyError as unknown:
        parser.error(f"--header: ${unknown.args[0]} is not known (known: $SIGNATURE, $TIMESTAMP, $BODY, $SECRET)")
    except (ValueError, subprocess.CalledProcessError) as refused:
        parser.error(str(refused))
    if not made:
        parser.error(f"add a documented event first: gateway/presets/{given.preset}/<type>.json")
    path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{path}: {len(made)} vectors")


if __name__ == "__main__":
    main()
