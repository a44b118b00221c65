"""Lint the Helm chart, validate what it renders, and package it: ``deploy/chart.py FOLDER``, or ``make chart``.

Helm is the program if it is installed, and else Helm's own library in deploy/chart.lock. What is rendered of each file in
deploy/chart/ci is checked against the schemas of the oldest supported and the newest known Kubernetes, strictly: a field
that Kubernetes does not know is an error. ``--render FILE`` prints what that file of values gives, as YAML.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml

CHART = Path(__file__).resolve().parent / "chart"
CASES = sorted((CHART / "ci").glob("*.yaml"))
#: The oldest of Chart.yaml's kubeVersion, and the newest that the schemas know.
KUBERNETES = ("1.25", kubernetes_validate.latest_version())
#: Kinds of the Prometheus operator: Kubernetes itself has no schema of them.
WITHOUT_SCHEMA = {"ServiceMonitor"}
#: Values that have to be refused, with a word of the reason.
REFUSED = [
    ({}, "GATEWAY_ADMIN_TOKEN"),
    ({"secret": {"name": "gateway"}, "replica": 3}, "replica"),
    ({"secret": {"name": "gateway"}, "store": {"kind": "mysql"}}, "kind"),
    ({"secret": {"values": {"GATEWAY_ADMIN_TOKEN": "0" * 32}}, "store": {"kind": "postgresql"}}, "GATEWAY_STORE"),
    ({"secret": {"name": "gateway"}, "image": {"digest": "sha256:1"}}, "digest"),
]


class ChartFailed(Exception):
    """The chart has a mistake."""


def values_of(file: Path) -> dict:
    return yaml.safe_load(file.read_text("utf-8"))


def render(values: dict) -> list[dict]:
    """Every manifest that these values give."""
    with helm_python.Chart.load(CHART) as chart:
        rendered = chart.render(values, name="release", namespace="hooks")
    texts = (text for path, text in sorted(rendered.items()) if path.endswith(".yaml"))
    return [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]


def lint() -> None:
    if helm := shutil.which("helm"):
        for case in CASES:
            subprocess.run([helm, "lint", "--strict", "--quiet", "--values", str(case), str(CHART)], check=True)
        return
    for case in CASES:
        # An icon is recommended, and an address that serves one is not known: all else counts.
        found = [
            f"{message['severity']}: {message['path']}: {message['error']}"
            for message in helm_python.lint(CHART, values_of(case))["messages"]
            if str(message["severity"]).upper() not in ("INFO", "1") and "icon is recommended" not in message["error"]
        ]
        if found:
            raise ChartFailed(f"{case.name}: " + "\n".join(found))


def problems(manifests: list[dict]) -> Iterator[str]:
    for manifest in manifests:
        called = f"{manifest['kind']} {manifest['metadata']['name']}"
        for version in KUBERNETES if manifest["kind"] not in WITHOUT_SCHEMA else ():
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as wrong:
                yield f"{called}, Kubernetes {version}: {'.'.join(map(str, wrong.path))}: {wrong.message}"


def check_refusals() -> None:
    for values, reason in REFUSED:
        try:
            render(values)
        except helm_python.HelmError as refused:
            if reason in str(refused):
                continue
            raise ChartFailed(f"{values} is refused without a word of {reason}: {refused}") from None
        raise ChartFailed(f"{values} is not refused")


def check() -> None:
    lint()
    check_refusals()
    for case in CASES:
        manifests = render(values_of(case))
        if found := list(problems(manifests)):
            raise ChartFailed(f"{case.name}:\n" + "\n".join(found))
        kinds = ", ".join(manifest["kind"] for manifest in manifests)
        print(f"{case.name}: {kinds}: valid for Kubernetes {' and '.join(KUBERNETES)}")


def package(folder: Path) -> None:
    """Without ci/, whose values are for this check only."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "hookkeeper"
        shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("ci"))
        with helm_python.Chart.load(copy) as chart:
            print(f"packaged {chart.save(folder)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the package goes")
    parser.add_argument("--render", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.render:
        print(yaml.safe_dump_all(render(values_of(options.render)), sort_keys=False))
        return 0
    try:
        check()
    except ChartFailed as failed:
        print(f"THE CHART HAS A MISTAKE: {failed}", file=sys.stderr)
        return 1
    if options.folder:
        package(options.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
