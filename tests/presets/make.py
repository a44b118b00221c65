"""Write the first vectors of a preset from its samples, signed by a shell command that follows the vendor's page.

    python -m tests.presets.make helpdesk --header 'X-Helpdesk-Signature: t=$TIMESTAMP,v1=$SIGNATURE' \\
        'printf "%s" "$TIMESTAMP.$BODY" | openssl dgst -sha256 -hmac "$SECRET"'

The command has BODY, TIMESTAMP and SECRET in its environment; SIGNATURE is the last word that it prints. Nothing is
taken from the preset but its samples, so a mistake in the preset does not repeat itself in its vectors.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from gateway import presets

FOLDER = Path(__file__).parent / "vectors"
AT = 1772443805
SECRET = "made-up-for-tests"
#: Seconds; no tolerance is longer.
TOO_LATE = 24 * 3600 + 1

Vector = Mapping[str, object]


@dataclass(frozen=True)
class Signer:
    """How the vendor signs: header lines with variables, and the command that prints the signature."""

    headers: Sequence[str]
    command: str
    secret: str = SECRET

    @property
    def signs_the_time(self) -> bool:
        return "$TIMESTAMP" in self.command

    def signed(self, body: str) -> Sequence[Sequence[str]]:
        known = {"BODY": body, "TIMESTAMP": str(AT), "SECRET": self.secret}
        done = subprocess.run(
            ["bash", "-c", self.command], env={**os.environ, **known}, capture_output=True, text=True, check=True
        )
        known["SIGNATURE"] = done.stdout.split()[-1]
        return [line.split(": ", 1) for line in (Template(each).substitute(known) for each in self.headers)]


def vectors(samples: Mapping[str, bytes], headers: Mapping[str, Mapping[str, str]], signer: Signer) -> Iterator[Vector]:
    """One accepted request for each sample, and what must be refused of the first."""
    for type_, body in samples.items():
        yield vector(f"{type_} is accepted", body.decode(), headers[type_], signer)
    type_, body = next((type_, body.decode()) for type_, body in samples.items())
    good = vector("", body, headers[type_], signer)
    request = good["request"]
    refused = {"verdict": "refused"}
    yield {**good, "name": "a changed body is refused", "request": {**request, "body": f"{body} "}, **refused}
    yield {**good, "name": "a signature by another secret is refused", "secrets": ["another-secret"], **refused}
    unsigned = {**request, "headers": [list(each) for each in headers[type_].items()]}
    yield {**good, "name": "a request without a signature is refused", "request": unsigned, **refused}
    if signer.signs_the_time:
        yield {**good, "name": "an old timestamp is refused", "at": AT + TOO_LATE, **refused}


def vector(name: str, body: str, headers: Mapping[str, str], signer: Signer) -> Vector:
    signed = [list(each) for each in (*headers.items(), *signer.signed(body))]
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
    parser.add_argument("--secret", default=SECRET, help="if the vendor's secrets have a form")
    given = parser.parse_args()
    path = FOLDER / f"{given.preset}.json"
    if path.exists():
        parser.error(f"{path} exists: add to it by hand, or remove it first")
    preset = presets.load(given.preset)
    made = list(vectors(preset.samples, preset.sample_headers, Signer(given.header, given.command, given.secret)))
    path.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", "utf-8")
    print(f"{path}: {len(made)} vectors")


if __name__ == "__main__":
    main()
