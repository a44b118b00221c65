"""``gateway init --source ... --to ...``: a file for just that, without a mistake or a warning."""

import json
from pathlib import Path

import pytest

from gateway import presets
from gateway.cli import small
from gateway.destinations import KINDS
from tests.cli import command

PAIRS = [
    *((name, "slack") for name in presets.NAMES),
    *((name, kind) for name in ("xobito", "github") for kind in KINDS),
]


def run(folder, *arguments):
    return command.run(*arguments, cwd=folder)


@pytest.mark.parametrize(("source", "to"), PAIRS, ids=[" to ".join(each) for each in PAIRS])
def test_the_file_checks_clean_and_its_test_holds(tmp_path, source, to):
    assert run(tmp_path, "init", "--source", source, "--to", to).returncode == 0
    checked = run(tmp_path, "check", "--strict", "--no-env")
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert "warning" not in checked.stdout
    tested = run(tmp_path, "test")
    assert (tested.returncode, tested.stdout.splitlines()[-1]) == (0, "1 test, none failed")


def test_every_variable_of_the_file_is_in_the_example_of_its_env(tmp_path):
    run(tmp_path, "init", "--source", "github", "--to", "telegram")
    done = run(tmp_path, "check")
    assert "not set: GITHUB_SECRET (line 8), TELEGRAM_URL" in done.stdout
    example = (tmp_path / ".env.example").read_text()
    assert "# GitHub: Repository or organization > Settings > Webhooks" in example
    for name in ("GITHUB_SECRET", "TELEGRAM_URL", "TELEGRAM_CHAT_ID"):
        assert f"\n{name}=\n" in example


def test_the_secret_of_xobito_is_called_as_in_the_shipped_example(tmp_path):
    run(tmp_path, "init", "--source", "xobito", "--to", "slack")
    shipped = (Path(__file__).parents[2] / ".env.example").read_text()
    assert "XOBITO_WEBHOOK_SECRET=" in shipped
    assert "\nXOBITO_WEBHOOK_SECRET=\n" in (tmp_path / ".env.example").read_text()


def test_a_sender_whose_handshake_shows_a_token_has_it_in_the_file(tmp_path):
    run(tmp_path, "init", "--source", "meta", "--to", "slack")
    assert 'verify: {handshake_token: "${META_VERIFY_TOKEN}"}' in (tmp_path / "routes.yaml").read_text()
    assert "\nMETA_VERIFY_TOKEN=\n" in (tmp_path / ".env.example").read_text()


@pytest.mark.parametrize(
    ("product", "first"),
    [(product, first) for name in presets.NAMES for product, first in presets.load(name).products.items()],
)
def test_a_sender_that_is_asked_for_by_a_product_has_a_route_for_that_product(tmp_path, product, first):
    assert run(tmp_path, "init", "--source", product.lower(), "--to", "slack").returncode == 0
    assert f"    match: {first} " in (tmp_path / "routes.yaml").read_text()
    checked, tested = run(tmp_path, "check", "--strict", "--no-env"), run(tmp_path, "test")
    assert (checked.returncode, tested.returncode) == (0, 0), checked.stdout


def test_the_sample_of_a_product_is_the_one_of_exactly_that_name():
    samples = {name: (json.dumps({"type": name}).encode(), "json") for name in ("old.comments", "comments")}
    least = {"title": "Shop", "page": "https://shop.example", "verify": {"none": True}, "type": "{payload.type}"}
    preset = presets.compiled("shop", {**least, "products": {"Shop": "comments"}}, samples)
    assert "    match: comments " in small.routes(preset, KINDS["slack"])


def test_a_message_of_a_person_shows_who_wrote_what(tmp_path):
    run(tmp_path, "init", "--source", "whatsapp")
    written = (tmp_path / "routes.yaml").read_text()
    assert "attrs.contacts[0].profile.name" in written
    assert "attrs.messages[0].text.body" in written


def test_either_alone_is_enough(tmp_path):
    run(tmp_path, "init", "a", "--source", "stripe")
    assert "preset: stripe" in (tmp_path / "a/routes.yaml").read_text()
    assert json.loads(run(tmp_path, "init", "b", "--to", "discord", "--json").stdout) == {
        "folder": "b", "files": ["routes.yaml", ".env.example", "routes.schema.json"],
    }  # fmt: skip
    assert "type: discord" in (tmp_path / "b/routes.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "githb"], 'unknown sender githb: did you mean "github"?'),
        (["--source", "whatsap"], 'unknown sender whatsap: did you mean "meta"?'),
        (["--to", "slak"], 'unknown type of destination slak: did you mean "slack"?'),
        (
            ["--to", "HubSpot"],
            'HubSpot: use the type "http", as the page "Contacts to HubSpot" shows: docs/how-to/hubspot.md',
        ),
        (
            ["--to", "google-sheets"],
            'use the type "http", as the page "Contacts to a Google sheet" shows: docs/how-to/google-sheets.md',
        ),
    ],
)
def test_an_unknown_one_is_a_mistake_of_usage_and_nothing_is_written(tmp_path, arguments, said):
    done = run(tmp_path, "init", *arguments)
    assert (done.returncode, said in done.stderr, list(tmp_path.iterdir())) == (2, True, [])
