"""What the package says about itself: its links, and a long description that reads the same outside the repository.

Hatchling runs this when it builds (``[tool.hatch.metadata.hooks.custom]`` in pyproject.toml). The address of the
repository is there, or in RELEASE_REPOSITORY. Without one there are no links, rather than links that lead nowhere.
"""

import os
import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

#: ``[text](docs/page.md#part)`` and ``![alt](docs/picture.png)``: whatever is relative to the repository.
_RELATIVE = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)\s]+)\)")
_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[ ]*$", re.MULTILINE | re.DOTALL)


class Metadata(MetadataHookInterface):
    def update(self, metadata: dict) -> None:
        root = Path(self.root)
        version = re.search(r'__version__ = "(.+)"', (root / "gateway" / "__init__.py").read_text("utf-8"))[1]
        repository = address(self.config, "repository")
        metadata["urls"] = urls(repository, address(self.config, "documentation"), version)
        text = standalone((root / "README.md").read_text("utf-8"), repository, version)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def address(config: dict, name: str) -> str:
    """An address of the project without a slash at its end; empty if there is none."""
    return (os.environ.get(f"RELEASE_{name.upper()}") or config.get(name, "")).rstrip("/")


def urls(repository: str, documentation: str, version: str) -> dict[str, str]:
    """The links beside the description. Nothing is derived from an address that is not known."""
    links = {"Documentation": documentation} if documentation else {}
    if not repository:
        return links
    return links | {
        "Source": repository,
        "Issues": f"{repository}/issues",
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
    }


def standalone(readme: str, repository: str, version: str) -> str:
    """The README with absolute links and pictures; without a repository, with the links' text and no pictures."""

    def absolute(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        if not repository:
            return "" if picture else text
        kind = "raw" if picture else "blob"
        return f"{picture}[{text}]({repository}/{kind}/v{version}/{target})"

    return "".join(part if code else _RELATIVE.sub(absolute, part) for code, part in _parts(readme))


def _parts(text: str) -> list[tuple[bool, str]]:
    """The text in parts; True for a fenced block, in which nothing is a link."""
    parts, at = [], 0
    for block in _FENCE.finditer(text):
        parts += [(False, text[at : block.start()]), (True, block[0])]
        at = block.end()
    return [*parts, (False, text[at:])]
