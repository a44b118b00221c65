"""Symbolic links: followed where nobody else could have put them."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

#: Links on the way to one file, as in the kernel.
_MOST: Final = 40


class ForeignLink(PermissionError):
    """A symbolic link that belongs to another user, who chooses what it leads to."""


def followed(path: str) -> str:
    """The path that ``path`` leads to, if every link at its end is root's or ours; a path that is not a link is itself.

    Open the result with O_NOFOLLOW. Raises ForeignLink, or another OSError.
    """
    for _ in range(_MOST):
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return path
        if not stat.S_ISLNK(found.st_mode):
            return path
        if found.st_uid not in (0, os.geteuid()):
            raise ForeignLink(
                errno.EPERM, f"the symbolic link {path} belongs to user {found.st_uid}, so it is not followed"
            )
        path = str(Path(path).parent / Path(path).readlink())
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
