"""Events whose type is in a header: files and samples with headers, posted, signed, explained and captured."""

import json
import re
import subprocess
import sys

import pytest

from tests.acceptance.harness import GatewayProcess, eventually
from tests.cli import command

ROUTES = """version: 1
sources:
  github:
    preset: github
    secret: a-secret-of-github
    samples: samples/github
    redact: [payload.pusher.email, payload.pusher.age]
  shopify: {preset: shopify, secret: a-secret-of-shopify}
destinations:
  log: {type: file, path: log.ndjson}
routes:
  - {name: push, match: push, to: log, text: "{{ payload.ref }} {{ headers['x-extra'] | default('') }}"}
  - {name: order, match: orders/create, to: log, body: {skus: "{{ payload.line_items | map('sku') | join(',') }}"}}
"""
PUSH = {"ref": "refs/heads/main", "pusher": {"name": "Ada", "email": "ada@example.com", "age": 36}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "samples/github").mkdir(parents=True)
    (tmp_path / "push.json").write_text(json.dumps(PUSH))
    return tmp_path


def run(folder, *arguments):
    return command.run(*arguments, cwd=folder)


@pytest.mark.parametrize(
    "given",
    [
        ["--header", "X-GitHub-Event: push"],
        ["--header", "x-github-event=push"],
        ["--set", "headers.x-github-event=push"],
    ],
    ids=["as curl has it", "name=value", "--set"],
)
def test_the_header_of_a_file_names_its_type(folder, given):
    said = run(folder, "explain", "push.json", "--source", "github", "--header", "X-Extra: é", *given)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("push from github")
    assert "refs/heads/main é" in said.stdout


def test_without_it_a_note_says_which_header_is_missing(folder):
    said = run(folder, "explain", "push.json", "--source", "github")
    assert "add --header 'x-github-event: push', or keep" in said.stderr
    (folder / "unheard.json").write_text((folder / "push.json").read_text())
    said = run(folder, "explain", "unheard.json", "--source", "github")
    assert re.search(r"add --header 'x-github-event: \w+', for example, or keep", said.stderr)
    near = run(folder, "explain", "push.json", "--source", "github", "--header", "X-GitHub-Evnt: push")
    assert "and it has x-github-evnt: write --header 'x-github-event: " in near.stderr
    assert "note:" not in run(folder, "explain", "push", "--source", "github").stderr


def test_a_header_of_a_sample_is_replaced_and_an_unknown_one_added(folder):
    said = run(folder, "explain", "push", "--header", "x-github-event: star", "--set", "payload.action=created")
    assert said.stdout.startswith("star.created from github")


def test_what_sign_prints_is_a_file_with_its_headers(folder):
    signed = run(folder, "sign", "push.json", "--source", "github", "--header", "X-GitHub-Event: push", "--json")
    (folder / "whole.request.json").write_text(signed.stdout)
    assert run(folder, "explain", "whole.request.json", "--source", "github").stdout.startswith("push from github")
    verified = run(folder, "verify", "--source", "github", "--request", "whole.request.json")
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "verified")


def test_a_signature_that_is_written_is_sent_as_it_is(folder):
    signed = run(folder, "sign", "push", "--source", "github", "--header", "X-Hub-Signature-256: sha256=00", "--json")
    assert ["x-hub-signature-256", "sha256=00"] in json.loads(signed.stdout)["headers"]


@pytest.mark.parametrize("name", ["nothing.json", "."], ids=["no file", "a folder"])
def test_what_is_neither_a_sample_nor_a_file_is_said(folder, name):
    done = run(folder, "send", name, "--source", "github")
    assert (done.returncode, f"{name} is not a sample of github or a file" in done.stderr) == (2, True)


def test_a_file_that_is_no_request_is_named(folder):
    (folder / "a.request.json").write_text("{}")
    done = run(folder, "send", "a.request.json", "--source", "github")
    assert (done.returncode, "a.request.json is not a request as gateway sign --json prints it" in done.stderr) == (
        2,
        True,
    )


@pytest.fixture
def gateway(tmp_path):
    with GatewayProcess(tmp_path, ROUTES) as gateway:
        (tmp_path / "push.json").write_text(json.dumps(PUSH))
        yield gateway


def test_a_file_is_signed_and_sent_and_the_next_event_becomes_a_sample(gateway, tmp_path):
    to = f"http://{gateway.ingest}"
    waiting = subprocess.Popen(
        [sys.executable, "-m", "gateway", "capture", "github", "--json"], cwd=tmp_path, env=gateway.cli_environ,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    sample = tmp_path / "samples/github/push.request.json"

    def arrived():
        done = gateway.verb(
            "send", "push.json", "--source", "github", "--header", "X-GitHub-Event: push", "--header",
            "X-GitHub-Delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958", "--to", to,
        )  # fmt: skip
        assert re.fullmatch(r"push.json accepted as evt_[\w-]+ \(type push\)\n", done.stdout)
        return sample.exists()

    eventually(arrived, "an event after capture began to wait")
    assert json.loads(waiting.communicate(timeout=60)[0])["redacted"] == ["pusher.email", "pusher.age"]
    written = json.loads(sample.read_text())
    headers = dict(written["headers"])
    assert headers["x-github-event"] == "push"
    assert "x-hub-signature-256" not in headers
    assert "ada@example.com" not in sample.read_text()
    assert json.loads(written["body"])["ref"] == "refs/heads/main"
    # It is a sample now.
    again = gateway.verb("send", "push", "--source", "github", "--to", to)
    assert "push accepted as evt_" in again.stdout
    assert again.stdout.endswith(" (type push)\n")
    refused = gateway.verb("capture", "github", "--last", check=False)
    assert (refused.returncode, "add --force" in refused.stderr) == (2, True)
    assert gateway.verb("capture", "github", "--last", "--force").returncode == 0
    untyped = gateway.verb("send", "push.json", "--source", "github", "--to", to)
    assert untyped.stdout.endswith(" (type unknown)\n")
    assert "keep the event with its headers in a file that ends in .request.json" in untyped.stderr


def test_the_test_that_is_made_of_an_event_runs_as_it_is_pasted(gateway, tmp_path):
    sent = gateway.verb("send", "orders/create", "--source", "shopify", "--to", f"http://{gateway.ingest}", "--json")
    shown = json.loads(gateway.verb("show", json.loads(sent.stdout)["id"], "--json").stdout)
    (tmp_path / "pasted.yaml").write_text(f"{ROUTES}tests:\n{shown['test']}\n")
    done = gateway.verb("test", "-c", "pasted.yaml")
    assert done.stdout.splitlines()[-1] == "1 test, none failed"
    assert "x-shopify-topic" in shown["test"]
