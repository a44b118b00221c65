"""Whether somebody saved routes.yaml, a file it includes or a template: by content, however an editor writes."""

import glob
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.config.text.disk import look_of
from gateway.routing.config import Look

#: How often the folders are looked at, seconds.
INTERVAL_S: Final = 0.5
#: Below the folder of routes.yaml; also templates that no route names yet.
_TEMPLATES: Final = "templates/**/*.j2"


class Watch:
    """Notices that the configuration in a folder has changed.

    Folders are looked at, never an open file: editors replace a file by renaming another one.
    """

    def __init__(self, config: Path, env_file: Path | None = None) -> None:
        self._config = config
        self._env_file = env_file
        self._files: frozenset[str] = frozenset()
        self._includes: frozenset[str] = frozenset()
        self._looks = self._look()
        self._digests = {path: _digest(path) for path in self._looks}
        #: Paths that looked different and have not been read since.
        self._touched: set[Path] = set()

    def follow(self, files: Mapping[str, bytes], includes: Iterable[str]) -> None:
        """Also watch what the configuration read (``files``: SHA-256 by name) and includes (patterns)."""
        names, patterns = frozenset(files), frozenset(includes)
        if (names, patterns) == (self._files, self._includes):
            return
        self._files, self._includes = names, patterns
        looks = self._look()
        self._forget({path for path in self._looks.keys() - looks.keys() if path.exists()})
        read = {self._config.parent / name: digest for name, digest in files.items()}
        new = {*looks, *read} - self._looks.keys()
        # A file saved after it was read, or not read at all, is a change that was not noticed yet.
        self._digests |= {path: read.get(path, b"") for path in new}
        self._touched |= new
        # Files watched before are compared by the next poll.
        self._looks |= {path: looks[path] for path in new & looks.keys()}

    def _forget(self, paths: Collection[Path]) -> None:
        for path in paths:
            del self._looks[path]
            self._digests.pop(path, None)
            self._touched.discard(path)

    def poll(self) -> bool:
        """Whether the content differs from that at the last True; only once nothing moved between two polls.

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

    def _look(self) -> dict[Path, Look]:
        found: dict[Path, Look] = {}
        for path in self._paths():
            with suppress(OSError):
                found[path] = look_of(path.stat())
        return found

    def _paths(self) -> Iterator[Path]:
        yield self._config
        if self._env_file is not None:
            yield self._env_file
        folder = self._config.parent
        yield from (folder / name for name in self._files)
        for pattern in (_TEMPLATES, *self._includes):
            # Not Path.glob: it looks into hidden folders too.
            yield from (folder / name for name in glob.iglob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207


def _digest(path: Path) -> bytes:
    with suppress(OSError):
        return hashlib.sha256(path.read_bytes()).digest()
    return b""
