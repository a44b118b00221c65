"""What mkdocs runs while it builds the site: the pages are written for the repository, where links lead to any file.

Pages of the project's folder (SECURITY.md, CHANGELOG.md ...) become pages of the site. A link to any other file of the
repository leads to the repository, or, while that has no address, to a copy of the file in the site. Lists are indented for
Python-Markdown, which wants four spaces where CommonMark counts.
"""

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Pages outside docs/, which have the same path in the site.
OUTSIDE = ("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "bench/README.md", "bench/compare/README.md")
#: The README is written for the repository; the site has a home page of its own in its place.
HOME = {"README.md": "index.md"}
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?!https?:|mailto:|#)([^)#\s]+)((?:#[^)\s]*)?\))")
_ITEM = re.compile(r"^( *)([-*]|\d+\.)( +)(?=\S)")
_FENCE = re.compile(r"^ *(```|~~~)")


def on_files(files, config):
    from mkdocs.structure.files import File

    for name in OUTSIDE:
        if name not in HOME:
            files.append(File.generated(config, name, content=(ROOT / name).read_text("utf-8")))
    for page in list(files.documentation_pages()):
        for target in targets(page.content_string, source_of(page.src_uri)):
            if (
                not is_page(target)
                and (ROOT / target).is_file()
                and not config.repo_url
                and not files.get_file_from_path(f"files/{target}")
            ):
                files.append(File.generated(config, f"files/{target}", content=(ROOT / target).read_bytes()))
    return files


def on_page_markdown(markdown, page, config, **_):
    return indented(linked(markdown, page.file.src_uri, config.repo_url or ""))


def source_of(page: str) -> str:
    """Where a page of the site is in the repository."""
    return page if page in OUTSIDE else f"docs/{page}"


def is_page(target: str) -> bool:
    return target in OUTSIDE or (target.startswith("docs/") and Path(target).suffix in (".md", ".png"))


def targets(markdown: str, source: str):
    """The files of the repository that a page links to."""
    for found in _LINK.finditer(markdown):
        yield posixpath.normpath(posixpath.join(posixpath.dirname(source), found[2]))


def linked(markdown: str, page: str, repository: str) -> str:
    """The page with links that lead somewhere on the site. ``page`` is its path on the site."""
    folder = posixpath.dirname(source_of(page))

    def lead(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, found[2]))
        if is_page(target):
            there = HOME.get(target, target).removeprefix("docs/")
        elif repository:
            kind = "blob" if (ROOT / target).is_file() else "tree"
            return f"{found[1]}{repository}/{kind}/main/{target}{found[3]}"
        elif (ROOT / target).is_file():
            there = f"files/{target}"
        else:  # a folder: there is nothing to show of it
            return found[1].removeprefix("[").removesuffix("](")
        return f"{found[1]}{posixpath.relpath(there, posixpath.dirname(page) or '.')}{found[3]}"

    return _LINK.sub(lead, markdown)


def indented(markdown: str) -> str:
    """The same text with four spaces per level of a list, and a blank line before each list."""
    lines, levels, fence, blank = [], [], "", True
    for line in markdown.splitlines():
        width = len(line) - len(line.lstrip(" "))
        if not line.strip():
            lines.append("")
            blank = True
            continue
        if not fence:
            item = _ITEM.match(line)
            in_list = bool(levels)
            # A line that is indented less, after a blank one or as an item, is outside the list.
            while levels and width < levels[-1] and (blank or item):
                levels.pop()
            if item and not blank and not in_list:
                lines.append("")
        inside = levels[-1] if levels else 0
        lines.append(" " * (4 * len(levels) + max(0, width - inside)) + line.lstrip(" "))
        if mark := _FENCE.match(line):
            fence = "" if fence == mark[1] else fence or mark[1]
        elif not fence and item:
            levels.append(item.end())
        blank = False
    return "\n".join(lines) + "\n"
