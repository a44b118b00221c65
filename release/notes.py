"""Print the section of CHANGELOG.md of one version, for the page of its release: ``notes.py 0.2.0``."""

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The section without its heading; empty if there is none."""
    found = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


if __name__ == "__main__":
    said = notes(CHANGELOG.read_text("utf-8"), sys.argv[1])
    print(said or sys.exit(f'CHANGELOG.md has no section "## [{sys.argv[1]}]": cut the release with make release'))
