"""``gateway init``: the files that a new user starts with."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import gateway
from gateway import presets
from gateway.cli import small, terminal
from gateway.destinations import KINDS
from gateway.destinations.recipes import recipe
from gateway.errors import GatewayError
from gateway.wording import suggest_or_list

_NAMES: Final = ("routes.yaml", ".env.example", "routes.schema.json")


class InTheWay(GatewayError):
    """A file that would be written exists already, or cannot be written."""


class Unknown(GatewayError):
    """There is no preset or no type of destination of that name."""

    exit_code = 2


def init(folder: Path, *, source: str, to: str, as_json: bool) -> int:
    """Write the files into ``folder`` and print what to do next. Raises InTheWay before anything is written.

    ``source`` and ``to``: a preset and a type of destination that the file is for; without both the one that ships.
    """
    files = _small_files(source, to or "slack") if source or to else _starter_files()
    _refuse_overwriting(folder, files)
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        raise InTheWay(f"cannot write {error.filename}: {os.strerror(error.errno or 0).lower()}") from None
    if as_json:
        terminal.print_json({"folder": str(folder), "files": list(files)})
    else:
        print(_next_steps(folder, has_templates=not (source or to)))
    return 0


def _small_files(source: str, to: str) -> Mapping[str, bytes]:
    """Files for just this sender, or product of one, and this type of destination. Raises Unknown."""
    name, first = (source or "xobito", "") if source in ("", *presets.NAMES) else presets.by_product(source)
    if not name:
        raise Unknown(f"unknown sender {source}: {presets.meant(source) or '`gateway sources` lists them'}")
    if to not in KINDS:
        raise Unknown(f"unknown type of destination {to}: {recipe(to) or suggest_or_list(to, KINDS)}")
    preset, kind = presets.load(name), KINDS[to]
    starter = _starter_files()
    return {
        "routes.yaml": small.routes(preset, kind, first).encode(),
        ".env.example": small.variables(preset, kind).encode(),
        "routes.schema.json": starter["routes.schema.json"],
    }


def _starter_files() -> Mapping[str, bytes]:
    """By path: from the installed package, or in a checkout from the project itself."""
    package = Path(gateway.__file__).parent
    home = package / "starter" if (package / "starter").is_dir() else package.parent
    found = [*(home / name for name in _NAMES), *sorted((home / "templates").rglob("*.j2"))]
    return {str(path.relative_to(home)): path.read_bytes() for path in found}


def _refuse_overwriting(folder: Path, files: Mapping[str, bytes]) -> None:
    # A dangling link is in the way, too.
    if there := [name for name in files if os.path.lexists(folder / name)]:
        them = "it" if len(there) == 1 else "them"
        raise InTheWay(
            f"{folder} has {', '.join(there)} already, and nothing is overwritten: move {them} away, or give another folder"
        )


def _next_steps(folder: Path, *, has_templates: bool) -> str:
    go = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    return (
        f"1. Try it       {go}gateway dev      (prints a curl command to paste, and shows what would be sent)\n"
        f"2. Edit         routes.yaml{', templates/' if has_templates else ''}; `gateway check --no-env` explains every mistake\n"
        "3. For real     cp .env.example .env, then fill in the secret and the addresses\n"
        "4. Run          gateway serve --env-file .env"
    )
