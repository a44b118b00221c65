"""Install a wheel into clean environments, one for each Python that is here, and try it there: ``try_wheel.py dist/*.whl``.

The source tree is not on the path of any of them. A Python that is not here is said, loudly.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def interpreters(version: str):
    """Where a Python of this version may be: on the path, below pyenv, or where uv put it."""
    if named := shutil.which(f"python{version}"):
        yield named
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    newest_first = sorted(
        pyenv.glob(f"versions/{version}.*/bin/python"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    yield from map(str, newest_first)
    if uv := shutil.which("uv"):
        found = subprocess.run([uv, "python", "find", "--offline", version], capture_output=True, text=True)
        yield from found.stdout.split()
    yield sys.executable


def interpreter(version: str) -> str | None:
    """One that really is of this version: a shim may be on the path and lead nowhere."""
    for path in interpreters(version):
        asked = subprocess.run(
            [path, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2], sep='.')"],
            capture_output=True,
            text=True,
        )
        if asked.stdout.strip() == version:
            return path
    return None


def run(*command: str, cwd: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GATEWAY_"))}
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def try_on(python: str, wheel: Path, folder: Path) -> str:
    """What was installed, in one line."""
    run(python, "-m", "venv", str(folder / "venv"), cwd=folder)
    inside = folder / "venv" / "bin"
    before = packages(inside, folder)
    run(str(inside / "python"), "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", str(wheel),
        cwd=folder)  # fmt: skip
    program = str(inside / "gateway")
    where = "import gateway, pathlib; print(pathlib.Path(gateway.__file__).with_name('py.typed').resolve(strict=True))"
    at = Path(run(str(inside / "python"), "-I", "-c", where, cwd=folder).strip())
    if not at.is_relative_to(folder.resolve()):
        sys.exit(f"the package that was imported is not the installed one: {at}")
    (folder / "new").mkdir()
    run(program, "init", str(folder / "new"), cwd=folder)
    run(program, "check", "--no-env", cwd=folder / "new")
    run(program, "test", cwd=folder / "new")
    # In front of it, the trial finds `gateway` on the path of that environment only.
    subprocess.run(
        [sys.executable, str(HERE / "trial.py"), "--", "env", "-i", f"PATH={inside}", "HOME=/nonexistent"],
        check=True, cwd=folder,
    )  # fmt: skip
    brought = packages(inside, folder) - before
    size = sum(path.stat().st_size for path in (folder / "venv" / "lib").rglob("*") if path.is_file())
    return f"{run(program, '--version', cwd=folder).strip()}: {len(brought)} packages, {size / 2**20:.0f} MiB with pip"


def packages(inside: Path, folder: Path) -> set[str]:
    listed = run(
        str(inside / "python"), "-m", "pip", "list", "--format", "freeze", "--disable-pip-version-check", cwd=folder
    )
    return set(re.findall(r"^([\w.-]+)==", listed, re.MULTILINE))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only this version; can be given again")
    options = parser.parse_args()
    tried = 0
    for version in options.python or PYTHONS:
        if not (python := interpreter(version)):
            print(f"PYTHON {version} IS NOT HERE: THE WHEEL WAS NOT TRIED ON IT", flush=True)
            continue
        print(f"Python {version}", flush=True)
        with tempfile.TemporaryDirectory(prefix="gateway-wheel-") as folder:
            print(f"  {try_on(python, options.wheel.resolve(), Path(folder))}", flush=True)
        tried += 1
    return 0 if tried else "no Python to try the wheel on"


if __name__ == "__main__":
    sys.exit(main())
