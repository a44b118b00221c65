"""Ask whether a locked package has a known vulnerability: ``python -m tests.audit``, or ``make audit``.

Exits with 1 if one has. A closed network is not a failure: what could not be asked is said, loudly.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock")
#: How pip-audit and its libraries name a service that cannot be reached or does not answer as it should.
UNREACHABLE = re.compile(r"ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|HTTPError|Could not connect")


class AuditFailed(Exception):
    """The audit failed, and not because of the network."""


@dataclass
class Report:
    """What is known of the packages of one file."""

    #: ``jinja2 3.1.6: PYSEC-2026-1, fixed in 3.1.7``.
    vulnerable: list[str] = field(default_factory=list)
    #: Names of packages that were looked up.
    asked: list[str] = field(default_factory=list)
    #: Names of packages that the service does not know: it is a mirror without advisories, or cannot be reached.
    not_asked: list[str] = field(default_factory=list)


def audit(lock: Path, options: Sequence[str] = ()) -> Report:
    """Look up every package of a lock file; ``options`` are for pip-audit. Raises AuditFailed."""
    command = [
        sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--require-hashes",
        "--disable-pip", "--requirement", str(lock), *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if UNREACHABLE.search(done.stderr):
            return Report()
        raise AuditFailed(done.stderr.strip()) from None
    return Report(
        vulnerable=[_line(each, flaw) for each in found for flaw in each.get("vulns", ())],
        asked=[each["name"] for each in found if "skip_reason" not in each],
        not_asked=[each["name"] for each in found if "skip_reason" in each],
    )


def _line(package: dict, flaw: dict) -> str:
    fixed = " or ".join(flaw["fix_versions"])
    return f"{package['name']} {package['version']}: {flaw['id']}, " + (
        f"fixed in {fixed}" if fixed else "not fixed yet"
    )


def main(locks: Sequence[Path] = LOCKS, options: Sequence[str] = ()) -> int:
    """Print what is known of each file, and return the exit code."""
    code = 0
    for lock in locks:
        report = audit(lock, options)
        if report.vulnerable:
            code = 1
            print(f"{lock.name}: VULNERABLE", *report.vulnerable, sep="\n  ")
        elif not report.asked:
            print(f"{lock.name}: NOT AUDITED, NO ADVISORIES CAN BE REACHED: run `make audit` where the internet can be")
        else:
            print(f"{lock.name}: no known vulnerability in {len(report.asked)} packages")
        if report.asked and report.not_asked:
            print(f"  NOT AUDITED, UNKNOWN TO THE SERVICE: {', '.join(report.not_asked)}")
    return code


if __name__ == "__main__":
    sys.exit(main())
