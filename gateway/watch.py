"""Whether somebody has saved routes.yaml, a file beside it or a template: by content, however an editor writes."""

import glob
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

#: The folders are looked at this often, seconds.
INTERVAL_S: Final = 0.5
#: Below the folder of routes.yaml: the file itself, what it may include, and templates.
_PATTERNS: Final = ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml", "templates/**/*.j2")

#: What tells, without reading it, that a file was written: inode, times of content and of inode, size.
_Look = tuple[int, int, int, int]


class Watch:
    """Notices that the configuration in a folder has other content.

    Folders are looked at, never one open file: an editor that renames puts another file in its place.
    """

    def __init__(self, config: Path, env_file: Path | None = None) -> None:
        self._config = config
        self._env_file = env_file
        self._looks = self._look()
        self._digests = {path: _digest(path) for path in self._looks}
        #: Paths that looked different once, and have not been read since.
        self._touched: set[Path] = set()

    def poll(self) -> bool:
        """Whether the content is another than at the last True; only once nothing moved from one poll to the next.

        So a save that is halfway done, or several files saved in a row, are one change.
        """
        looks = self._look()
        if looks != self._looks:
            self._touched |= {path for path in {*looks, *self._looks} if looks.get(path) != self._looks.get(path)}
            self._looks = looks
            return False
        if not self._touched:
            return False
        read = {path: _digest(path) for path in self._touched if path in looks}
        kept = {path: digest for path, digest in self._digests.items() if path not in self._touched}
        before, self._digests = self._digests, kept | read
        self._touched = set()
        return self._digests != before

    def _look(self) -> Mapping[Path, _Look]:
        found: dict[Path, _Look] = {}
        for path in self._paths():
            with suppress(OSError):
                status = path.stat()
                found[path] = (status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        return found

    def _paths(self) -> Iterator[Path]:
        yield self._config
        if self._env_file is not None:
            yield self._env_file
        folder = self._config.parent
        for pattern in _PATTERNS:
            # Not Path.glob: it looks into hidden folders too.
            yield from (folder / name for name in glob.iglob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207


def _digest(path: Path) -> bytes:
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).digest()
    return b""
