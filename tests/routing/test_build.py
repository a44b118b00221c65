"""What a Config builds for a delivery."""

import json

import pytest

from gateway.errors import NameGone, RenderError
from gateway.model import FileAppend
from tests.config.given import SAMPLES, build, event


def test_a_form_is_sent_in_form_encoding(loaded):
    config = loaded("""
routes:
  - name: a
    to: crm
    form: {name: "{{ attrs.company }} & co", group: ["{{ attrs.id }}", x], more: {on: true, no: null}}
""")
    request = build(config, "a", "crm")
    assert request.body == b"name=Demo+Co+%26+co&group=451&group=x&more%5Bon%5D=true&more%5Bno%5D="
    assert dict(request.headers)["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("name", "source", "body", "content_type"),
    [
        (
            "a.html.j2",
            '<p title="{{ attrs.company }}">',
            b'<p title="&lt;b&gt;&#34;&amp;&#34;">',
            "text/html; charset=utf-8",
        ),
        (
            "a.form.j2",
            "x={{ attrs.company }}\n\ny=a b",
            b"x=%3Cb%3E%22%26%22&y=a%20b",
            "application/x-www-form-urlencoded",
        ),
    ],
)
def test_the_ending_of_a_template_says_how_values_are_escaped(loaded, tmp_path, name, source, body, content_type):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / name).write_text(source)
    received = event(body=SAMPLES["contact.created"].replace(b"Demo Co", b'<b>\\"&\\"'))
    request = build(loaded(f"routes: [{{name: a, to: crm, template: {name}}}]"), "a", "crm", received)
    assert (request.body, dict(request.headers)["content-type"]) == (body, content_type)


def test_the_request_is_the_destinations_with_the_entrys_on_top(loaded):
    config = loaded("""
routes:
  - name: put
    to: crm
    method: PUT
    path: /contacts/{{ attrs.id }}
    query: {dry run: "{{ attrs.firstname }} & co"}
    headers: {x-id: "{{ attrs.id }}"}
    body: {external_id: "{{ attrs.id }}", flags: [true, null, NO, "{{ attrs.nope | default(omit) }}"]}
""")
    request = build(config, "put", "crm")
    assert request.method == "PUT"
    assert request.url == "https://crm.example.com/api/contacts/451?dry%20run=John%20%26%20co"
    assert dict(request.headers)["authorization"] == "Bearer t0ken"
    assert dict(request.headers)["x-id"] == "451"
    assert dict(request.headers)["webhook-id"] == "dlv_1"
    assert json.loads(request.body) == {"external_id": 451, "flags": [True, None, "NO"]}


def test_without_a_content_the_exact_bytes_travel_with_what_makes_them_verifiable(loaded):
    request = build(loaded("always: [{to: crm}]"), "always/crm", "crm")
    headers = dict(request.headers)
    assert request.body == SAMPLES["contact.created"]
    assert (headers["content-type"], headers["x-webhook-signature"]) == ("application/json", "abc")
    assert "x-other" not in headers


def test_an_empty_body_sends_none(loaded):
    assert build(loaded('routes: [{name: a, to: crm, body: ""}]'), "a", "crm").body == b""


def test_one_text_is_escaped_for_each_of_its_destinations(loaded):
    config = loaded('routes: [{name: a, to: [crm, leads], text: "{{ attrs.company }}"}]')
    body = SAMPLES["contact.created"].replace(b"Demo Co", b"<!channel>")
    assert json.loads(build(config, "a", "crm", event(body=body)).body)["text"] == "<!channel>"
    assert json.loads(build(config, "a", "leads", event(body=body)).body)["text"] == "&lt;!channel&gt;"


def test_a_chat_is_told_of_an_unmatched_event_in_a_built_in_sentence(loaded):
    request = build(loaded("unmatched: [{to: leads}]"), "unmatched/leads", "leads")
    assert json.loads(request.body)["text"] == "No route matched contact.created from xobito"


def test_a_file_gets_a_line(loaded):
    assert isinstance(build(loaded("always: [{to: log}]"), "always/log", "log"), FileAppend)


def test_the_path_of_a_file_is_left_to_the_working_directory_as_the_store_is(loaded):
    assert loaded("").destinations["log"].target.path == "log.ndjson"


def test_headers_of_the_sender_travel_with_its_exact_bytes_only(loaded):
    config = loaded("routes: [{name: a, to: crm, text: hi}, {name: b, to: crm}]")
    kept = config.sources["xobito"].kept_headers
    message = {name: config.entries[name].messages["crm"] for name in "ab"}
    assert message["a"].render({}, event(), "dlv_1", kept).verbatim_headers == ()
    assert ("x-webhook-signature", "abc") in message["b"].render({}, event(), "dlv_1", kept).verbatim_headers


def test_the_templates_of_one_message_share_one_budget(loaded):
    loop = "{% for a in range(1000) %}{% for b in range(7) %}{% endfor %}{% endfor %}"
    config = loaded(f"""
routes:
  - {{name: one, to: crm, body: ["{loop}"]}}
  - {{name: two, to: crm, path: "/x{loop}", body: ["{loop}"]}}
""")
    build(config, "one", "crm")
    with pytest.raises(RenderError, match="loop steps"):
        build(config, "two", "crm")


def test_a_template_that_fails_names_its_line_of_the_file(loaded):
    config = loaded("""
routes:
  - name: a
    to: leads
    text: |
      first
      {{ attrs.nope }}
""")
    with pytest.raises(RenderError) as caught:
        build(config, "a", "leads")
    assert str(caught.value.place).startswith("routes.yaml:15")


@pytest.mark.parametrize(
    ("route", "destination", "source", "sentence"),
    [
        ("gone", "crm", "xobito", 'the route "gone" is no longer in routes.yaml'),
        ("a", "gone", "xobito", 'the destination "gone" is no longer in routes.yaml'),
        ("a", "log", "xobito", 'the route "a" no longer sends to "log"'),
        ("a", "crm", "gone", 'the source "gone" is no longer in routes.yaml'),
    ],
)
def test_a_name_that_has_gone_is_a_reason_with_a_remedy(loaded, route, destination, source, sentence):
    config = loaded("routes: [{name: a, to: crm}]")
    with pytest.raises(NameGone, match="put it back") as caught:
        build(config, route, destination, event(source=source))
    assert sentence in str(caught.value)
