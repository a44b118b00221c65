"""Runs the command line in this process and captures its output and exit code."""

import contextlib
import io
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from gateway.cli import main

#: An address where nothing listens.
NOWHERE = "127.0.0.1:1"


@dataclass(frozen=True)
class Done:
    """The result, as of ``subprocess.run``."""

    returncode: int
    stdout: str
    stderr: str


class Stream(io.StringIO):
    """A standard stream, of a pipe or of a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def run(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, columns: int | None = None) -> Done:
    """``gateway ARGUMENTS`` in a folder and with exactly these variables; with ``columns`` in a terminal."""
    out, err = (Stream(is_terminal=columns is not None) for _ in range(2))
    variables = {"PATH": os.environ["PATH"], "GATEWAY_ADMIN_BIND": NOWHERE, **(environ or {})}
    if columns is not None:
        variables |= {"COLUMNS": str(columns), "TERM": "xterm-256color"}
    with (
        contextlib.chdir(cwd), mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(sys, "argv", ["gateway", *arguments]),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        else:
            code = 0
    return Done(code, out.getvalue(), err.getvalue())
