"""Print the section of CHANGELOG.md of one version, for the page of its release: ``notes.py 0.2.0``.

Links lead to RELEASE_REPOSITORY, and GITHUB_WORKFLOW_REF is named as what signed the checksums, where they are set.
"""

import os
import re
import sys
from pathlib import Path

#: Whose word it is that a workflow of GitHub's runs.
ISSUER = "https://token.actions.githubusercontent.com"
CHANGELOG = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def notes(changelog: str, version: str) -> str:
    """The section without its heading; empty if there is none."""
    found = re.search(rf"^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def elsewhere(text: str, repository: str, version: str) -> str:
    """The text with links that lead to the repository from any page; as it is without one."""
    absolute = rf"]({repository.rstrip('/')}/blob/v{version}/\1)"
    return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", absolute, text) if repository else text


def signed_by(server: str, workflow: str) -> str:
    """What docs/explanation/versions.md needs to verify the signature; empty if no workflow runs."""
    if not workflow:
        return ""
    return (
        "\n`SHA256SUMS` has a signature of Sigstore, which is verified with\n\n"
        f"```sh\nWORKFLOW={server}/{workflow}\nISSUER={ISSUER}\n```\n"
    )


if __name__ == "__main__":
    version = sys.argv[1]
    said = notes(CHANGELOG.read_text("utf-8"), version)
    if not said:
        sys.exit(f'CHANGELOG.md has no section "## [{version}]": cut the release with make release')
    print(elsewhere(said, os.environ.get("RELEASE_REPOSITORY", ""), version))
    print(signed_by(os.environ.get("GITHUB_SERVER_URL", ""), os.environ.get("GITHUB_WORKFLOW_REF", "")), end="")
