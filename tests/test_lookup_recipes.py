"""The recipes that look up before they send, word for word, against servers that behave as the vendors' pages say."""

import asyncio
import json
import re
from itertools import count
from typing import ClassVar

import pytest

from gateway.config import load
from gateway.model import DeliveryState
from gateway.rehearsal.expectations import failures, read
from tests.test_docs import ROOT
from tests.vendor import Call, Vendor
from tests.world import BODY, World

HOW_TO = ROOT / "docs" / "how-to"


def recipe(page: str, **instead: str) -> str:
    """The file of a page, with its variables and addresses replaced."""
    [example] = re.findall(r"^ *```yaml\n(.*?)^ *```$", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    text = "\n".join(line.removeprefix("   ") for line in example.splitlines())
    for name, value in {
        "${XOBITO_WEBHOOK_SECRET}": "s3cret",
        "rate: 3/s": "rate: none",
        "rate: 4/s": "rate: none",
    }.items():
        text = text.replace(name, value)
    for name, value in instead.items():
        assert name in text
        text = text.replace(name, value)
    return text.partition("tests:\n")[0] + "\n"


_numbers = count()


def changed(type: str = "contact.created", **fields: object) -> bytes:
    """An event of contact 1 with some other fields; None removes one."""
    payload = json.loads(BODY)
    payload["event"] = type
    attributes = payload["data"]["attributes"]
    attributes.update({"note": next(_numbers), **fields})
    for name in [name for name, value in fields.items() if value is None]:
        del attributes[name]
    return json.dumps(payload).encode()


def run(folder, text: str, *events: bytes) -> list[tuple[str, str]]:
    """What becomes of the deliveries of these events, one after the other: state and reason."""

    async def sent() -> list[tuple[str, str]]:
        async with World(folder, text) as world:
            ids = []
            for event in events:
                ids.append((await world.receive(event)).event_id)
                await world.turn()
            found = [delivery for id_ in ids for delivery in (await world.store.event(id_)).deliveries]
            return [(each.state.value, each.reason) for each in found]

    return asyncio.run(sent())


def asked(vendor: Vendor) -> list[str]:
    return [f"{call.method} {call.path}" for call in vendor.calls]


@pytest.mark.parametrize("page", ["pipedrive.md", "notion.md", "hubspot.md", "look-up-before-you-send.md"])
def test_the_tests_of_a_recipe_pass(page, tmp_path):
    [example] = re.findall(r"^ *```yaml\n(.*?)^ *```$", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    indent = "   " if example.startswith("   ") else ""
    (tmp_path / "routes.yaml").write_text("\n".join(line.removeprefix(indent) for line in example.splitlines()))
    config = read(tmp_path / "routes.yaml")
    assert config.tests
    assert [line for test in config.tests for line in failures(config, test, tmp_path)] == []


@pytest.mark.parametrize("name", ["pipedrive", "notion", "hubspot"])
def test_while_its_address_is_not_set_the_file_of_a_recipe_is_tested_as_it_is_and_dev_records_what_it_sends(
    name, tmp_path
):
    [example] = re.findall(
        r"^ *```yaml\n(.*?)^ *```$", (HOW_TO / f"{name}.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "routes.yaml").write_text("\n".join(line.removeprefix("   ") for line in example.splitlines()))
    assert set(load(tmp_path / "routes.yaml", environ={}, dev=True).inboxes) == {name}


# --- HubSpot ---


class HubSpot(Vendor):
    """Contacts of HubSpot's CRM API v3: an e-mail address is unique, and creates and updates may be partial."""

    OWN = frozenset({"email", "firstname", "lastname", "phone", "company"})

    def __init__(self) -> None:
        super().__init__()
        #: By id.
        self.contacts: dict[str, dict[str, str]] = {}
        self.failing: tuple[int, object] | None = None

    def answer(self, call: Call) -> tuple[int, object]:
        if call.headers["authorization"] != "Bearer pat-token":
            return 401, {"status": "error", "category": "INVALID_AUTHENTICATION", "message": "Authentication failed"}
        if self.failing and call.method != "GET":
            return self.failing
        path, _, key = call.path.partition("/crm/v3/objects/contacts")[2].rpartition("/")
        if call.method != "GET" and (problem := self.problem(call.body)):
            return 400, {"status": "error", "category": "VALIDATION_ERROR", "message": problem}
        if (call.method, path, key) == ("POST", "", ""):
            if self.id_of(call.body["properties"]["email"]):
                return 409, {"status": "error", "category": "CONFLICT", "message": "Contact already exists."}
            id_ = str(512 + len(self.contacts))
            self.contacts[id_] = call.body["properties"]
            return 201, {"id": id_, "properties": self.contacts[id_]}
        id_ = self.id_of(key) if call.query.get("idProperty") == "email" else key
        if id_ not in self.contacts or call.method not in ("GET", "PATCH"):
            return 404, {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "resource not found"}
        if call.method == "PATCH":
            self.contacts[id_].update(call.body["properties"])
        return 200, {"id": id_, "properties": self.contacts[id_], "archived": False}

    def id_of(self, email: str) -> str:
        return next((id_ for id_, each in self.contacts.items() if each["email"] == email), "")

    def problem(self, body: dict) -> str:
        if body.keys() != {"properties"} or not body["properties"].keys() <= self.OWN:
            return "Invalid input JSON"
        return "" if all(isinstance(each, str) for each in body["properties"].values()) else "Cannot deserialize value"


def hubspot(vendor: Vendor, token: str = "pat-token") -> str:
    return recipe("hubspot.md", **{"${HUBSPOT_URL}": vendor.url, "${HUBSPOT_TOKEN}": token, "10/s ": "none "})


def test_one_route_creates_a_contact_in_hubspot_and_changes_only_what_an_update_holds(tmp_path):
    change = changed("contact.updated", email="john@example.com", firstname="Johnny", lastname=None, phone=None)
    with HubSpot() as vendor:
        vendor.contacts["7"] = {"email": "old@example.com", "firstname": "Old", "company": "Kept"}
        made = run(tmp_path, hubspot(vendor), changed(), change, changed(email="old@example.com", company=None))
    assert made == [("delivered", "")] * 3
    assert [call.method for call in vendor.calls] == ["GET", "POST", "GET", "PATCH", "GET", "PATCH"]
    created = vendor.contacts["513"]
    assert created["firstname"] == "Johnny"
    assert (created["lastname"], created["phone"], created["company"]) == ("Doe", "+14155551234", "Demo Co")
    assert vendor.contacts["7"]["company"] == "Kept"
    assert len(vendor.contacts) == 2


@pytest.mark.parametrize("email", [None, ""])
def test_a_contact_without_an_address_is_not_sent_to_hubspot(tmp_path, email):
    with HubSpot() as vendor:
        assert run(tmp_path, hubspot(vendor), changed(email=email)) == []
    assert not vendor.calls


def test_a_contact_that_hubspot_got_in_between_is_looked_up_again(tmp_path):
    with HubSpot() as vendor:
        vendor.failing = 409, {"status": "error", "category": "CONFLICT", "message": "Contact already exists."}
        [(state, reason)] = run(tmp_path, hubspot(vendor), changed())
    assert state == DeliveryState.PENDING
    assert reason.startswith("answered 409: Contact already exists.")


def test_hubspots_limit_is_waited_for_and_its_other_refusals_are_final(tmp_path):
    with HubSpot() as vendor:
        vendor.failing = 429, {"status": "error", "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
        assert run(tmp_path / "", hubspot(vendor), changed())[0][0] == DeliveryState.PENDING
        vendor.failing = 400, {"status": "error", "message": 'Property "company" does not exist'}
        (tmp_path / "other").mkdir()
        assert run(tmp_path / "other", hubspot(vendor), changed())[0][0] == DeliveryState.DEAD


def test_a_wrong_token_of_hubspot_names_its_look_up_and_nothing_is_given_up(tmp_path):
    with HubSpot() as vendor:
        [(state, reason)] = run(tmp_path, hubspot(vendor, "wrong"), changed())
    assert state == DeliveryState.PENDING
    assert reason.startswith("fetch known: hubspot answered 401: Authentication failed")
    assert "wrong" not in reason


# --- Pipedrive ---


class Pipedrive(Vendor):
    """Persons of Pipedrive's API v2."""

    def __init__(self) -> None:
        super().__init__()
        self.persons: dict[int, dict[str, object]] = {}

    def answer(self, call: Call) -> tuple[int, object]:
        if call.headers["x-api-token"] != "pd-token":
            return 401, {"success": False, "error": "unauthorized access"}
        if (call.method, call.path) == ("GET", "/api/v2/persons/search"):
            assert call.query["fields"] == "email"
            assert call.query["exact_match"] == "true"
            found = [
                {"result_score": 1.0, "item": {"id": id_, "type": "person", **each}}
                for id_, each in self.persons.items()
                if call.query["term"].lower() in [mail["value"].lower() for mail in each["emails"]]
            ]
            return 200, {"success": True, "data": {"items": found[: int(call.query["limit"])]}, "additional_data": {}}
        if (call.method, call.path) == ("POST", "/api/v2/persons"):
            if not call.body.get("name"):
                return 400, {"success": False, "error": "Name must be given."}
            id_ = len(self.persons) + 100
            self.persons[id_] = call.body
            return 201, {"success": True, "data": {"id": id_, **call.body}}
        person = self.persons.get(int(call.path.rpartition("/")[2]))
        if call.method != "PATCH" or person is None:
            return 404, {"success": False, "error": "Person not found."}
        person.update(call.body)
        return 200, {"success": True, "data": person}


def pipedrive(vendor: Vendor, token: str = "pd-token") -> str:
    return recipe("pipedrive.md", **{"${PIPEDRIVE_URL}": f"{vendor.url}/api/v2", "${PIPEDRIVE_TOKEN}": token})


def test_a_person_in_pipedrive_is_found_by_its_address_and_never_there_twice(tmp_path):
    with Pipedrive() as vendor:
        vendor.persons[7] = {"name": "Before", "emails": [{"value": "Old@Example.com"}]}
        made = run(
            tmp_path,
            pipedrive(vendor),
            changed(email="old@example.com", firstname="Jane", lastname="Roe"),
            changed(email="new@example.com", firstname="Ann", lastname="Lee"),
            changed("contact.updated", email="new@example.com", firstname="Anna", lastname="Lee"),
            changed("contact.updated", email=None),
        )
    assert made == [("delivered", "")] * 3
    assert asked(vendor) == [
        "GET /api/v2/persons/search", "PATCH /api/v2/persons/7",
        "GET /api/v2/persons/search", "POST /api/v2/persons",
        "GET /api/v2/persons/search", "PATCH /api/v2/persons/101",
    ]  # fmt: skip
    assert vendor.persons[7]["name"] == "Jane Roe"
    assert vendor.persons[101] == {
        "name": "Anna Lee", "emails": [{"value": "new@example.com", "primary": True, "label": "work"}]
    }  # fmt: skip


@pytest.mark.parametrize("half", [{"firstname": None}, {"lastname": None}, {"lastname": ""}], ids=str)
def test_half_a_name_never_replaces_a_whole_one_in_pipedrive(tmp_path, half):
    with Pipedrive() as vendor:
        vendor.persons[7] = {"name": "Jane Roe", "emails": [{"value": "jane@example.com"}]}
        given = {"email": "jane@example.com", "firstname": "Janet", "lastname": "Doe", **half}
        [(state, _)] = run(tmp_path, pipedrive(vendor), changed("contact.updated", **given))
    assert state == DeliveryState.DISCARDED
    assert asked(vendor) == ["GET /api/v2/persons/search"]
    assert vendor.persons[7]["name"] == "Jane Roe"


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"firstname": "Ann", "lastname": None}, "Ann"),
        ({"firstname": "", "lastname": "Lee"}, "Lee"),
        ({"firstname": None, "lastname": None}, "new@example.com"),
    ],
    ids=["first", "last", "neither"],
)
def test_a_new_person_in_pipedrive_is_called_by_what_is_known_of_its_name(tmp_path, parts, name):
    with Pipedrive() as vendor:
        run(tmp_path, pipedrive(vendor), changed(email="new@example.com", **parts))
    assert [each["name"] for each in vendor.persons.values()] == [name]


def test_a_wrong_token_of_pipedrive_is_said_and_what_waits_is_kept(tmp_path):
    with Pipedrive() as vendor:
        [(state, reason)] = run(tmp_path, pipedrive(vendor, "wrong"), changed())
    assert state == DeliveryState.PENDING
    assert reason.startswith("fetch person: pipedrive answered 401: unauthorized access")


# --- Notion ---


class Notion(Vendor):
    """Pages of one data source, as Notion's API 2025-09-03 has them."""

    SOURCE = "1a44be12-0953-4631-b498-9e5817518db8"
    KINDS: ClassVar = {"Name": "title", "Email": "email", "Phone": "phone_number"}

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, dict[str, dict]] = {}

    def answer(self, call: Call) -> tuple[int, object]:
        if call.headers["authorization"] != "Bearer ntn_token":
            return 401, {"object": "error", "status": 401, "code": "unauthorized", "message": "API token is invalid."}
        if call.headers["notion-version"] != "2025-09-03":
            return 400, {"object": "error", "status": 400, "code": "missing_version", "message": "Notion-Version"}
        if (call.method, call.path) == ("POST", f"/v1/data_sources/{self.SOURCE}/query"):
            wanted = call.body["filter"]
            assert wanted["property"] == "Email"
            found = [
                {"object": "page", "id": id_, "properties": each}
                for id_, each in self.pages.items()
                if each["Email"]["email"] == wanted["email"]["equals"]
            ]
            return 200, {"object": "list", "results": found[: call.body["page_size"]], "has_more": False}
        for name, value in call.body["properties"].items():
            if self.KINDS.get(name) not in value:
                return self.invalid(f"body.properties.{name} should be an object with {self.KINDS.get(name)}")
        if (call.method, call.path) == ("POST", "/v1/pages"):
            if call.body["parent"] != {"type": "data_source_id", "data_source_id": self.SOURCE}:
                return self.invalid("parent")
            id_ = f"page-{len(self.pages)}"
            self.pages[id_] = call.body["properties"]
            return 200, {"object": "page", "id": id_}
        page = self.pages.get(call.path.rpartition("/")[2])
        if call.method != "PATCH" or page is None:
            return 404, {
                "object": "error",
                "status": 404,
                "code": "object_not_found",
                "message": "Could not find page.",
            }
        page.update(call.body["properties"])
        return 200, {"object": "page"}

    def invalid(self, message: str) -> tuple[int, object]:
        return 400, {"object": "error", "status": 400, "code": "validation_error", "message": message}


def notion(vendor: Vendor) -> str:
    return recipe("notion.md", **{"${NOTION_URL}": f"{vendor.url}/v1", "${NOTION_TOKEN}": "ntn_token"})


def test_a_page_in_notion_is_found_by_its_address_and_never_there_twice(tmp_path):
    with Notion() as vendor:
        vendor.pages["before"] = {"Email": {"email": "old@example.com"}}
        made = run(
            tmp_path,
            notion(vendor),
            changed(email="old@example.com", phone="+1"),
            changed(email="new@example.com", firstname="Ann", phone="+2"),
            changed("contact.updated", email="new@example.com", phone=None),
            changed("contact.updated", email="new@example.com", phone="+3"),
        )
    assert made == [("delivered", "")] * 4
    assert set(vendor.pages) == {"before", "page-1"}
    assert vendor.pages["before"]["Phone"] == {"phone_number": "+1"}
    assert vendor.pages["page-1"] == {
        "Name": {"title": [{"text": {"content": "Ann"}}]},
        "Email": {"email": "new@example.com"},
        "Phone": {"phone_number": "+3"},
    }
    assert vendor.calls[5].body == {"properties": {}}


def test_a_property_that_notion_does_not_know_makes_a_dead_delivery_that_says_so(tmp_path):
    with Notion() as vendor:
        [(state, reason)] = run(tmp_path, notion(vendor).replace("Phone:", "Telephone:"), changed())
    assert state == DeliveryState.DEAD
    assert "answered 400: body.properties.Telephone should be an object" in reason


# --- any of them ---


@pytest.mark.parametrize("status", [200, 403, 429, 502])
@pytest.mark.parametrize(("vendor", "text"), [(HubSpot, hubspot), (Pipedrive, pipedrive), (Notion, notion)])
def test_a_look_up_that_is_answered_with_a_page_of_html_writes_nothing(tmp_path, vendor, text, status):
    with vendor() as server:
        server.answer = lambda _: (status, b"<!DOCTYPE html><title>Just a moment...</title>", {"retry-after": "30"})
        [(state, reason)] = run(tmp_path, text(server), changed())
    assert state == DeliveryState.PENDING
    assert f"answered {status}" in reason
    assert len(server.calls) == 1


@pytest.mark.parametrize(("vendor", "text"), [(HubSpot, hubspot), (Pipedrive, pipedrive), (Notion, notion)])
def test_a_page_of_html_in_answer_to_a_write_is_not_a_delivery(tmp_path, vendor, text):
    with vendor() as server:
        server.answer = lambda call: (
            (200, b"<!DOCTYPE html>") if len(server.calls) > 1 else type(server).answer(server, call)
        )
        [(state, reason)] = run(tmp_path, text(server), changed())
    assert state == DeliveryState.PENDING
    assert reason.startswith("answered 200, but no rule of success matched")
    assert len(server.calls) == 2
