"""Programs that some tests need and `make` does not install."""

import os
import shutil

import pytest


def needs_root(why: str) -> None:
    """Skip the test with a message if it is not run as root. In CI, which runs it so, fail instead."""
    if os.geteuid() == 0:
        return
    missing = f"ROOT IS NEEDED {why}: sudo -E make test"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def needs(command: str, package: str = "", *, is_there: bool | None = None) -> None:
    """Skip the test with a message if a program is missing. In CI, which installs them, fail instead."""
    if shutil.which(command) is not None if is_there is None else is_there:
        return
    missing = f"{command.upper()} IS MISSING: apt-get install {package or command}"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
