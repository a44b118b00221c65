"""Complete dist/ after `make wheel chart`: the image, a bill of materials, checksums and signatures.

What cannot be had here is said, loudly, with the command for elsewhere. Set WITHOUT_IMAGE where another job builds it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
#: What an identity looks like that Sigstore accepts without a browser: a workflow's, or one that was handed over.
AMBIENT = ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SIGSTORE_IDENTITY_TOKEN")
SUMS = "SHA256SUMS"


def version() -> str:
    return re.search(r'__version__ = "(.+)"', (ROOT / "gateway" / "__init__.py").read_text("utf-8"))[1]


def image(called: str) -> None:
    """``hookkeeper-1.2.3-image.tar``, as other engines load it."""
    if os.environ.get("WITHOUT_IMAGE"):
        print(f"no image: {os.environ['WITHOUT_IMAGE']}")
        return
    for action in ("build", "save"):
        done = subprocess.run([str(ROOT / "deploy" / "image.sh"), action, f"hookkeeper:{called}"], cwd=ROOT)
        if done.returncode:
            print("THE IMAGE IS NOT IN dist/: run `make image` where an engine and a registry of images can be had")
            return


def bill_of_materials(called: str) -> None:
    """Every package of the lock file with its hashes and licence, in CycloneDX; the same bytes each time."""
    program = Path(sys.executable).parent / "cyclonedx-py"
    file = DIST / f"hookkeeper-{called}.cdx.json"
    command = [program, "requirements", "--pyproject", "pyproject.toml", "--mc-type", "application", "--output-reproducible",
               "--of", "JSON", "--output-file", file, "requirements.lock"]  # fmt: skip
    # It warns that it knows no dependencies between them: a lock file has none.
    subprocess.run([*map(str, command)], cwd=ROOT, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    bill = json.loads(file.read_text("utf-8"))
    # Its own version is not in pyproject.toml.
    bill["metadata"]["component"]["version"] = called
    file.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", "utf-8")
    print(f"bill of materials: {file.name}")


def checksums() -> None:
    """As `sha256sum --check` reads them, in the order of the names."""
    files = sorted(path for path in DIST.iterdir() if path.is_file() and not path.name.startswith(SUMS))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (DIST / SUMS).write_text("".join(lines), "utf-8")
    print("".join(lines), end="")


def sign() -> None:
    """One signature over the checksums covers all files."""
    (DIST / f"{SUMS}.sigstore.json").unlink(missing_ok=True)
    command = [sys.executable, "-m", "sigstore", "sign", str(DIST / SUMS)]
    if not any(os.environ.get(name) for name in AMBIENT):
        print(
            "NOT SIGNED: no identity of a workflow is here. With a browser: .venv-release/bin/python -m sigstore sign dist/SHA256SUMS"
        )
    elif subprocess.run(command, cwd=ROOT).returncode:
        sys.exit("signing failed: the lines above say why")


def main() -> int:
    called = version()
    shutil.copy2(ROOT / "routes.schema.json", DIST / f"hookkeeper-{called}-routes.schema.json")
    image(called)
    bill_of_materials(called)
    checksums()
    sign()
    return 0


if __name__ == "__main__":
    sys.exit(main())
