"""Cut a release: ``make release VERSION=0.2.0``, or ``python release/cut.py 0.2.0 --dry-run`` to see what would change.

The section *Unreleased* of CHANGELOG.md becomes that of the version, with the first sentence of each entry; the whole
entries go to docs/changes/VERSION.md. The version is written where it is declared, and all of it is committed and tagged.
"""

import argparse
import datetime as dt
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Keep a Changelog's order, after what breaks or means something else.
HEADINGS = ("Before you upgrade", "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
_SENTENCE = re.compile(r"(?<=[.!?)])\s+(?=[A-Z`(\[*])")
#: An entry up to this length is kept whole.
SHORT = 160


class NotReleased(Exception):
    """Nothing was changed, and why."""


def section(changelog: str) -> tuple[str, str, str]:
    """What is before the entries of *Unreleased*, they, and what follows."""
    before, mark, rest = changelog.partition("## [Unreleased]\n")
    if not mark:
        raise NotReleased('CHANGELOG.md has no "## [Unreleased]": write it above the newest version')
    following = re.search(r"^## \[", rest, re.MULTILINE)
    at = following.start() if following else len(rest)
    return before + mark, rest[:at], rest[at:]


def entries(text: str) -> dict[str, list[str]]:
    """The entries by heading, each on one line. A heading that is there twice is one."""
    found: dict[str, list[str]] = {}
    heading = ""
    for block in re.split(r"^(?=### |- )", text, flags=re.MULTILINE):
        if block.startswith("### "):
            heading = block.splitlines()[0][4:].strip()
            if heading not in HEADINGS:
                raise NotReleased(f'CHANGELOG.md: "### {heading}" is not a heading: use one of {", ".join(HEADINGS)}')
        elif block.startswith("- "):
            if not heading:
                raise NotReleased(f"CHANGELOG.md: an entry without a heading: {block.splitlines()[0]}")
            found.setdefault(heading, []).append(" ".join(block[2:].split()))
    if not found:
        raise NotReleased("CHANGELOG.md: nothing is unreleased")
    return {heading: found[heading] for heading in HEADINGS if heading in found}


def first_sentence(entry: str) -> str:
    """The entry if it is short, else its first sentence. A colon or an abbreviation does not end one."""
    if len(entry) <= SHORT:
        return entry
    for end in _SENTENCE.finditer(entry):
        sentence = entry[: end.start()]
        if (
            not sentence.endswith(("e.g.", "i.e."))
            and sentence.count("`") % 2 == 0
            and sentence.count("(") <= sentence.count(")")
        ):
            return sentence
    return entry


def listed(by_heading: dict[str, list[str]]) -> str:
    parts = []
    for heading, lines in by_heading.items():
        wrapped = (textwrap.fill(line, 120, initial_indent="- ", subsequent_indent="  ", break_long_words=False,
                                 break_on_hyphens=False) for line in lines)  # fmt: skip
        parts.append(f"### {heading}\n\n" + "\n".join(wrapped))
    return "\n\n".join(parts) + "\n"


def cut(changelog: str, version: str, day: str) -> tuple[str, str]:
    """CHANGELOG.md with the section of the version, and the page with the whole entries."""
    if f"## [{version}]" in changelog:
        raise NotReleased(f"CHANGELOG.md already has a section for {version}")
    before, text, after = section(changelog)
    whole = entries(text)
    short = {heading: [first_sentence(each) for each in lines] for heading, lines in whole.items()}
    page = f"docs/changes/{version}.md"
    said = f"In full, with what to do: [{page}]({page}).\n\n" if short != whole else ""
    new = f"{before}\n## [{version}] - {day}\n\n{said}{listed(short)}\n{after}".rstrip() + "\n"
    # Links of the changelog are relative to the project's folder, those of the page to its own.
    full = re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", r"](../../\1)", listed(whole))
    full = full.replace("](../../docs/", "](../")
    return new, f"# Changes in {version}\n\n{full}" if said else ""


def versions(version: str) -> Iterator[tuple[Path, str, str]]:
    """Each place that declares the version: file, pattern, and what is written there."""
    yield ROOT / "gateway" / "__init__.py", r'^__version__ = ".+"$', f'__version__ = "{version}"'
    chart = ROOT / "deploy" / "chart" / "Chart.yaml"
    yield chart, r"^version: .+$", f"version: {_semver(version)}"
    yield chart, r"^appVersion: .+$", f'appVersion: "{version}"'


def _semver(version: str) -> str:
    """``0.2.0rc1`` as a chart's version: 0.2.0-rc.1."""
    return re.sub(r"(a|b|rc)(\d+)$", r"-\1.\2", version)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def check(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise NotReleased(f'"{version}" is not a version: write 1.2.3 or 1.2.3rc1')
    if git("tag", "--list", f"v{version}"):
        raise NotReleased(f"v{version} is a tag already: choose a higher version")
    if git("status", "--porcelain"):
        raise NotReleased("the working tree has changes: commit or stash them")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="for example 0.2.0, without v")
    parser.add_argument("--dry-run", action="store_true", help="print the new section and change nothing")
    options = parser.parse_args(arguments)
    try:
        if not options.dry_run:
            check(options.version)
        day = dt.datetime.now(dt.UTC).date().isoformat()
        changelog, page = cut((ROOT / "CHANGELOG.md").read_text("utf-8"), options.version, day)
    except NotReleased as reason:
        print(f"Not released: {reason}", file=sys.stderr)
        return 1
    if options.dry_run:
        print(re.split(r"^(?=## \[)", changelog, flags=re.MULTILINE)[2])
        return 0
    (ROOT / "CHANGELOG.md").write_text(changelog, "utf-8")
    if page:
        (ROOT / "docs" / "changes").mkdir(exist_ok=True)
        (ROOT / "docs" / "changes" / f"{options.version}.md").write_text(page, "utf-8")
    for file, pattern, line in versions(options.version):
        file.write_text(re.sub(pattern, line, file.read_text("utf-8"), count=1, flags=re.MULTILINE), "utf-8")
    git("add", "--all")
    git("commit", "--quiet", "--message", f"Release {options.version}")
    git("tag", "--annotate", f"v{options.version}", "--message", f"Release {options.version}")
    print(f"Committed and tagged v{options.version}. Push both when the files in dist/ are right.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
