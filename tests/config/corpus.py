"""Files with mistakes, files in order, and what ``gateway check`` prints about each.

``make corpus`` writes the texts again. Review them as their reader would before committing them: git diff tests/config
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from gateway.config import format_problem, load
from gateway.errors import ConfigError, Problem

HERE = Path(__file__).parent
ENVIRON = {"HUSH": "the-value-of-hush", "CRM_TOKEN": "t0ken", "GATEWAY_SECRET_KEY": "5f0c2d1e9b8a7f6e" * 4}
BAD = sorted((HERE / "bad").glob("*.yaml"))
GOOD = sorted((HERE / "good").glob("*.yaml"))
WARNED = sorted((HERE / "warned").glob("*.yaml"))


def refused(path: Path) -> str:
    """The errors of a file that is refused."""
    try:
        load(path, environ=ENVIRON)
    except ConfigError as error:
        return _printed(path, error.problems)
    raise AssertionError(f"{path} loads: it is not a bad file")


def warned(path: Path) -> str:
    """The warnings of a file that loads."""
    return _printed(path, load(path, environ=ENVIRON).warnings)


def recorded(path: Path) -> str:
    """What is printed according to the corpus; empty if nobody has written it yet."""
    text = path.with_suffix(".txt")
    return text.read_text("utf-8") if text.exists() else ""


def _printed(path: Path, problems: Iterable[Problem]) -> str:
    return "\n".join(map(format_problem, problems)).replace(path.name, "routes.yaml") + "\n"


def write(bad: Sequence[Path] = BAD, warnings: Sequence[Path] = WARNED) -> Iterable[Path]:
    """Write what is printed now; yields the files that changed."""
    for say, paths in ((refused, bad), (warned, warnings)):
        for path in paths:
            if say(path) != recorded(path):
                path.with_suffix(".txt").write_text(say(path), "utf-8")
                yield path.with_suffix(".txt")


if __name__ == "__main__":
    for changed in write():
        print(changed)
