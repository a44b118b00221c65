"""Completion, in the shells themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.harness import Terminal
from tests.needs import needs

ROUTES = """
version: 1
sources: {xobito: {preset: xobito, secret: s3cret}}
destinations: {crm: {url: "https://crm.example.com"}, slack-leads: {type: slack, url: "${SLACK_LEADS_URL}"}}
routes: [{name: to-crm, match: contact.created, to: crm}]
"""


@pytest.fixture
def folder(tmp_path):
    """With a routes.yaml, and the command on the PATH by its name."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    command = tmp_path / "bin" / "gateway"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
    command.chmod(0o755)
    return tmp_path


def environ(folder):
    return {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}


def completed(folder, *words):
    """What bash is given for the last of the words."""
    script = f"""
eval "$(gateway completion bash)"
COMP_WORDS=({" ".join(words)})
COMP_CWORD={len(words) - 1}
_gateway_completion gateway
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environ(folder), capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(["gateway", "repla"], ["replay"], id="a verb"),
        pytest.param(["gateway", "events", "--dest"], ["--destination"], id="an option"),
        pytest.param(["gateway", "events", "--destination", "sl"], ["slack-leads"], id="a destination"),
        pytest.param(["gateway", "destinations", "pause", "''"], ["crm", "slack-leads"], id="a destination of a verb"),
        pytest.param(["gateway", "events", "--state", "d"], ["delivered", "dead", "discarded"], id="a state"),
        pytest.param(["gateway", "events", "--source", "''"], ["xobito"], id="a source"),
        pytest.param(["gateway", "replay", "--route", "''"], ["to-crm"], id="a route"),
        pytest.param(["gateway", "send", "contact.c"], ["contact.created"], id="a sample"),
        pytest.param(["gateway", "completion", "z"], ["zsh"], id="a shell"),
    ],
)
def test_bash_completes(folder, words, expected):
    assert completed(folder, *words) == expected


def test_a_file_with_problems_completes_nothing_and_says_nothing(folder):
    (folder / "routes.yaml").write_text("version: 1\ndestinations: {crm: {}}\n")
    assert completed(folder, "gateway", "events", "--destination", "c") == []


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(gateway completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -Uz compinit && compinit -u -d ./dump && eval "$(gateway completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "gateway completion fish | source"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_in_a_terminal(folder, shell):
    command, setting_up = SHELLS[shell]
    needs(shell)
    home = {**environ(folder), "HOME": str(folder), "PS1": "$ "}
    with Terminal(command, environ=home, cwd=Path(folder)) as terminal:
        terminal.type(f"{setting_up} && printf 'set%s' up\n")
        terminal.until("setup")
        terminal.type("gateway events --destination sl\t")
        terminal.until("slack-leads")
