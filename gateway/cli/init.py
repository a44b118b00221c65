"""``gateway init``: the files that a new user starts with."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import gateway
from gateway.errors import GatewayError

_NAMES: Final = ("routes.yaml", ".env.example", "routes.schema.json")


class InTheWay(GatewayError):
    """A file that would be written exists already, or cannot be written."""


def init(folder: Path) -> int:
    """Write the files into ``folder`` and print what to do next. Raises InTheWay before anything is written."""
    files = _starter_files()
    _refuse_overwriting(folder, files)
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise InTheWay(f"cannot write {error.filename}: {os.strerror(error.errno or 0).lower()}") from None
    print(_next_steps(folder))
    return 0


def _starter_files() -> Mapping[str, bytes]:
    """By path: from the installed package, or in a checkout from the project itself."""
    package = Path(gateway.__file__).parent
    home = package / "starter" if (package / "starter").is_dir() else package.parent
    found = [*(home / name for name in _NAMES), *sorted((home / "templates").rglob("*.j2"))]
    return {str(path.relative_to(home)): path.read_bytes() for path in found}


def _refuse_overwriting(folder: Path, files: Mapping[str, bytes]) -> None:
    # A dangling link is in the way, too.
    if there := [name for name in files if os.path.lexists(folder / name)]:
        raise InTheWay(
            f"{folder} has {', '.join(there)} already, and nothing is overwritten: move them away, or give another folder"
        )


def _next_steps(folder: Path) -> str:
    go = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    return (
        f"1. Try it       {go}gateway dev      (prints a curl command to paste, and shows what would be sent)\n"
        "2. Edit         routes.yaml, templates/; `gateway check` explains every mistake\n"
        "3. For real     cp .env.example .env, then fill in the secret and the addresses\n"
        "4. Run          gateway serve --env-file .env"
    )
