"""The recipes that log in with a key of their own, from the first check to a kill in the middle, by real processes."""

import json

import pytest

from tests.acceptance.harness import SECRET, GatewayProcess, distinct
from tests.oauth.given import pem, rsa_key
from tests.test_docs import ROOT, blocks
from tests.test_login_recipes import Guarded, Salesforce, Sheets

ADDRESSES = {
    Salesforce: ("https://login.salesforce.com/services/oauth2/token", "https://acme.my.salesforce.com"),
    Sheets: ("", "https://sheets.googleapis.com"),
}


def set_up(folder, page: str, vendor: Guarded) -> GatewayProcess:
    """What a reader of the page has in a folder, and the gateway there."""
    text = next(block for language, block in blocks(ROOT / "docs" / "how-to" / page) if language == "yaml")
    token_url, url = ADDRESSES[type(vendor)]
    text = text.replace(token_url, vendor.login.token_url) if token_url else text
    # Its tests name the address, too.
    text = text.replace(url, vendor.url).replace("rate: 50/min", "rate: none")
    account = {
        "type": "service_account", "client_email": Sheets.ISSUER, "private_key": pem(rsa_key()), "private_key_id": "k1",
        "token_uri": vendor.login.token_url,
    }  # fmt: skip
    (folder / "google.json").write_text(json.dumps(account))
    (folder / "salesforce.pem").write_text(pem(rsa_key()))
    environ = {"XOBITO_WEBHOOK_SECRET": SECRET, "SALESFORCE_CLIENT_ID": Salesforce.ISSUER}
    return GatewayProcess(folder, text, environ=environ)


def posted(gateway: GatewayProcess, number: int) -> str:
    """The id of an event about contact ``number``, which was accepted."""
    status, known = gateway.post(distinct(number))
    assert status == 202
    return known["id"]


@pytest.mark.parametrize(
    ("page", "kind"), [("salesforce.md", Salesforce), ("google-sheets.md", Sheets)], ids=["salesforce", "google-sheets"]
)
def test_a_recipe_works_from_its_check_to_a_kill_and_a_session_that_ends_in_the_middle(tmp_path, page, kind):
    with kind() as vendor:
        gateway = set_up(tmp_path, page, vendor)
        for verb in ("check", "test"):
            gateway.verb(verb, "-c", "routes.yaml")
        gateway.verb("doctor", "-c", "routes.yaml", "--online")
        assert len(vendor.login.asked) == 1, "it has tried the login"
        ids = []
        with gateway:
            ids += [posted(gateway, number) for number in range(2)]
            assert [each["state"] for id_ in ids for each in gateway.settled(id_)] == ["delivered"] * 2
            vendor.end_all_sessions()
            ids += [posted(gateway, number) for number in range(2, 4)]
            gateway.kill()
        with gateway:
            ids += [posted(gateway, number) for number in range(4, 6)]
            assert [each["state"] for id_ in ids for each in gateway.settled(id_)] == ["delivered"] * 6
        if isinstance(vendor, Salesforce):
            assert sorted(each["Xobito_Id__c"] for each in vendor.contacts.values()) == list("012345")
        else:
            rows = {event: contact for event, contact, *_ in vendor.rows[1:]}
            assert rows == dict(zip(ids, range(6), strict=True)), (
                "a row that is there twice has the id of its event twice"
            )
