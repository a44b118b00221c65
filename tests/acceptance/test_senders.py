"""Senders other than Xobito at the real door: handshakes, bodies with many events, secrets in the address."""

import gzip
import http.client
import json
import time
import zlib
from base64 import b64encode

import pytest

from gateway import presets
from gateway.config import load
from gateway.presets import load as preset
from gateway.rehearsal.rehearse import request_of
from gateway.signatures import CannotSign, stand_in_for
from gateway.signatures.declared import scheme_of
from tests.acceptance.harness import GatewayProcess, eventually

ROUTES = """
version: 1
sources:
  slack: {preset: slack, secret: s3cret}
  whatsapp: {preset: meta, secret: s3cret, verify: {handshake_token: shown-by-meta}}
  hubspot: {preset: hubspot, secret: s3cret, public_url: https://hooks.example.com/in/hubspot}
  resend: {preset: xobito-resend, secret: in-the-path}
  github: {preset: github, secret: s3cret}
  intercom: {preset: intercom, secret: s3cret}
  forms: {verify: {token: {header: x-token}}, secret: t0ken, type: "{payload.kind}", id: "{payload.number}"}
  lan: {verify: none, type: "{payload.type}"}
  bell:
    methods: [GET, POST]
    verify: {token: {query: key}}
    secret: the-key-of-the-bell
    type: "ring.{query.button}"
    handshake:
      - probe: {}
      - header_echo:
          {method: OPTIONS, challenge: webhook-request-origin, answer: none, headers: {webhook-allowed-origin: "{challenge}"}}
destinations:
  file: {type: file, path: all.ndjson}
always:
  - to: file
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with GatewayProcess(tmp_path_factory.mktemp("senders"), ROUTES) as gateway:
        gateway.sources = load(gateway.folder / "routes.yaml", environ={}).sources
        yield gateway


def sent(gateway, name, body, sample=""):
    request = request_of(gateway.sources[name], body, sample, time.time())
    headers = {key.decode(): value.decode() for key, value in request.headers}
    return ask(gateway, "POST", f"/in/{name}", request.body, headers)


def ask(gateway, method, path, body=b"", headers=None):
    """Status, headers and exact bytes of an answer that may not be JSON."""
    connection = http.client.HTTPConnection(gateway.ingest, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def stored(gateway):
    return len(gateway.api("/api/events?limit=1000")[1]["events"])


def test_slacks_challenge_is_echoed_as_text_and_nothing_is_stored(gateway):
    before = stored(gateway)
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "x"}).encode()
    status, headers, answer = sent(gateway, "slack", body)
    assert (status, answer) == (200, b"3eZbrw1aB")
    assert headers["content-type"].startswith("text/plain")
    assert stored(gateway) == before


def test_an_unsigned_challenge_is_401_and_nothing_of_it_comes_back(gateway):
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB"}).encode()
    status, _, answer = ask(gateway, "POST", "/in/slack", body, {"content-type": "application/json"})
    assert status == 401
    assert b"3eZbrw" not in answer


def test_metas_challenge_is_echoed_to_who_shows_the_token(gateway):
    question = "/in/whatsapp?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token="
    assert ask(gateway, "GET", question + "shown-by-meta")[::2] == (200, b"1158201444")
    for wrong in ("", "s3cret", "shown-by-met", "%ff"):
        status, _, answer = ask(gateway, "GET", question + wrong)
        assert status == 401
        assert b"1158201444" not in answer


def test_a_get_is_405_where_the_sender_has_no_handshake_by_get(gateway):
    assert ask(gateway, "GET", "/in/github")[0] == 405


def test_a_senders_probe_is_answered_and_says_nothing(gateway):
    assert ask(gateway, "HEAD", "/in/intercom")[::2] == (200, b"")
    assert ask(gateway, "HEAD", "/in/github")[0] == 405
    assert ask(gateway, "GET", "/in/intercom")[0] == 405


def test_the_fields_of_a_multipart_body_are_read_and_its_bytes_are_kept(gateway):
    parts = [("", "kind", "mail"), ("", "number", "41"), ('; filename="a.txt"', "file", "hello")]
    body = "".join(
        f'--edge\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n{value}\r\n'
        for more, name, value in parts
    )
    headers = {"x-token": "t0ken", "content-type": "multipart/form-data; boundary=edge"}
    status, _, answer = ask(gateway, "POST", "/in/forms", (body + "--edge--\r\n").encode(), headers)
    assert status == 202
    event = gateway.api(f"/api/events/{json.loads(answer)['id']}")[1]
    assert event["type"] == "mail"
    assert ask(gateway, "POST", "/in/forms", b"--edge\r\nnothing", headers)[0] == 400


def test_each_change_of_a_body_with_many_is_an_event_and_a_repeat_is_a_duplicate_item_by_item(gateway):
    change = {"field": "messages", "value": {"messages": [{"id": "wamid.1"}]}}
    items = [change, {"field": "statuses", "value": {}}, change]
    body = json.dumps({"object": "whatsapp", "entry": [{"id": "1", "changes": items[:2]}, {"changes": items[2:]}]})
    status, _, answer = sent(gateway, "whatsapp", body.encode())
    first = json.loads(answer)
    assert status == 200
    assert len(set(first["ids"])) == 3
    assert first["id"] == first["ids"][0]
    assert not first["duplicate"]
    again = json.loads(sent(gateway, "whatsapp", body.encode())[2])
    assert again == {**first, "duplicate": True}
    types = [gateway.api(f"/api/events/{id_}")[1]["type"] for id_ in first["ids"]]
    assert types == ["messages", "statuses", "messages"]
    assert gateway.api(f"/api/events/{first['id']}")[1]["payload"] == change


def test_a_bad_item_stores_none_and_the_log_says_which(gateway):
    before = stored(gateway)
    body = json.dumps({"entry": [{"changes": [{"field": "messages"}, 7]}]}).encode()
    assert sent(gateway, "whatsapp", body)[0] == 400
    assert stored(gateway) == before
    eventually(lambda: "item 2 of 2" in gateway.log_text(), "the log names the bad item")


def test_a_secret_in_the_address_is_compared_and_never_logged(gateway):
    body = preset("xobito-resend").samples["messages.text"]
    right = ask(gateway, "POST", "/in/resend/in-the-path", body, {"content-type": "application/json"})
    assert right[0] in (200, 202)
    wrong = ask(gateway, "POST", "/in/resend/guessed-secret", body, {"content-type": "application/json"})
    unknown = ask(gateway, "POST", "/in/nobody", body, {"content-type": "application/json"})
    assert (wrong[0], wrong[2]) == (unknown[0], unknown[2]) == (404, b'{"error":"unknown source"}')
    eventually(lambda: "/in/nobody" in gateway.log_text(), "the last of the refusals is logged")
    assert "in-the-path" not in gateway.log_text()
    assert "guessed-secret" not in gateway.log_text()


def repeated(first):
    """The answer to a request that is sent again."""
    note = f"not delivered again; if some of its deliveries died, send them with: gateway replay --dead {first['id']}"
    return {**first, "duplicate": True, "note": note}


def test_a_request_that_is_sent_again_is_a_duplicate(gateway):
    sample, body = next(iter(preset("github").samples.items()))
    first = json.loads(sent(gateway, "github", body, sample)[2])
    assert json.loads(sent(gateway, "github", body, sample)[2]) == repeated(first)


def test_a_form_is_a_map_and_an_id_that_is_empty_falls_back_to_the_bytes(gateway):
    headers = {"x-token": "t0ken", "content-type": "application/x-www-form-urlencoded"}
    answers = [
        json.loads(ask(gateway, "POST", "/in/forms", body, headers)[2])
        for body in (
            b"kind=order&number=7&a=1",
            b"kind=order&number=7&a=2",
            b"kind=order&number=&a=1",
            b"kind=order&number=&a=2",
        )
    ]
    assert [each["duplicate"] for each in answers] == [False, True, False, False]
    event = gateway.api(f"/api/events/{answers[0]['id']}")[1]
    assert (event["type"], event["payload"]) == ("order", {"kind": "order", "number": "7", "a": "1"})


def test_an_open_source_takes_anything_and_the_start_says_so(gateway):
    assert ask(gateway, "POST", "/in/lan", b'{"type": "x"}', {"content-type": "application/json"})[0] == 202
    assert "accepts events from anyone" in gateway.log_text()


@pytest.mark.parametrize("name", ["slack", "github", "hubspot", "forms", "whatsapp"])
def test_what_sign_makes_verify_accepts_and_says_why_it_refuses_another_body(gateway, name, tmp_path):
    body = tmp_path / "body.json"
    body.write_text('{"kind": "order", "number": 1}')
    made = gateway.verb("sign", "-c", str(gateway.folder / "routes.yaml"), "--source", name, "--json", str(body)).stdout
    request = tmp_path / "request.json"
    request.write_text(made)
    arguments = ("verify", "-c", str(gateway.folder / "routes.yaml"), "--source", name, "--request", str(request))
    good = gateway.verb(*arguments, check=False)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, "verified")
    if name == "forms":
        return
    changed = json.loads(made) | {"body_base64": b64encode(b"{}").decode()}
    request.write_text(json.dumps(changed))
    bad = gateway.verb(*arguments, check=False)
    assert bad.returncode == 1
    assert bad.stdout.splitlines()[-1].startswith("refused: ")
    assert "s3cret" not in bad.stdout


def test_a_sample_that_only_one_source_has_needs_no_source_and_the_time_may_be_a_date(gateway, tmp_path):
    config = ("-c", str(gateway.folder / "routes.yaml"))
    assert "issues.opened from github" in gateway.verb("explain", *config, "issues.opened").stdout
    unknown = gateway.verb("explain", *config, "order.paid", check=False).stderr
    assert "order.paid is neither a sample of a source nor a file  (samples: " in unknown
    body, request = tmp_path / "body.json", tmp_path / "request.json"
    body.write_text("{}")
    request.write_text(gateway.verb("sign", *config, "--source", "slack", "--json", str(body)).stdout)
    arguments = ("verify", *config, "--source", "slack", "--request", str(request), "--at")
    assert "timestamp" in gateway.verb(*arguments, "2099-01-01", check=False).stdout.splitlines()[-1]
    assert "write 2026-12-31T12:00:00Z" in gateway.verb(*arguments, "tomorrow", check=False).stderr
    assert 'did you mean "github"?' in gateway.verb("sources", "githb", check=False).stderr


def test_a_file_that_is_no_request_is_said_to_be_none(gateway, tmp_path):
    file = tmp_path / "request.json"
    file.write_text("[1]")
    refused = gateway.verb(
        "verify", "-c", str(gateway.folder / "routes.yaml"), "--source", "slack", "--request", str(file), check=False
    )
    assert refused.returncode == 2
    assert "is not a request" in refused.stderr


def test_every_sender_has_a_fragment_that_loads(gateway, tmp_path):
    listed = json.loads(gateway.verb("sources", "--json").stdout)
    assert [each["name"] for each in listed] == list(presets.NAMES)
    assert len(listed) >= 40
    for each in listed:
        file = tmp_path / "routes.yaml"
        file.write_text(f"version: 1\n{each['routes_yaml']}\ndestinations: {{}}\n")
        assert each["name"] in load(file, environ={}, no_env=True).sources
    assert "certificate" in gateway.verb("sources").stdout
    assert "preset: stripe" in gateway.verb("sources", "stripe").stdout


# --- every sender at one door ---


@pytest.fixture(scope="module")
def everyone(tmp_path_factory):
    lines = ["version: 1", "sources:"]
    for name in presets.NAMES:
        lines += [f"  {name}:", f"    preset: {name}", f"    public_url: https://hooks.example.com/in/{name}"]
        block = preset(name).verify[0]
        if "jwt" in block:
            lines.append("    verify: {jwt: {jwks: https://auth.example.com/.well-known/jwks.json}}")
        elif block != {"none": True}:
            lines.append(f"    secret: {json.dumps(stand_in_for(scheme_of(block), name).reveal())}")
    lines += ["destinations: {file: {type: file, path: all.ndjson}}", "always: [{to: file}]", ""]
    with GatewayProcess(tmp_path_factory.mktemp("everyone"), "\n".join(lines)) as gateway:
        gateway.sources = load(gateway.folder / "routes.yaml", environ={}).sources
        yield gateway


@pytest.mark.parametrize("name", presets.NAMES)
def test_what_a_sender_posts_is_taken_at_the_door_under_its_type_and_once(everyone, name):
    for type_, body in preset(name).samples.items():
        try:
            request = request_of(everyone.sources[name], body, type_, time.time())
        except CannotSign:
            assert all(scheme.is_asymmetric for scheme in everyone.sources[name].verifier.schemes)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in request.headers}
        path = f"/in/{name}/{request.path_secret.decode()}" if request.path_secret else f"/in/{name}"
        path += f"?{request.query.decode()}" if request.query else ""
        status, _, answer = ask(everyone, "POST", path, request.body, headers)
        assert status == preset(name).reply
        if preset(name).answer is not None:
            assert answer.decode() == preset(name).answer[1]
            assert ask(everyone, "POST", path, request.body, headers)[2] == answer
            events = everyone.api(f"/api/events?source={name}&type={type_}")[1]["events"]
            assert [each["type"] for each in events] == [type_]
            continue
        first = json.loads(answer)
        assert everyone.api(f"/api/events/{first['id']}")[1]["type"] == type_
        again = json.loads(ask(everyone, "POST", path, request.body, headers)[2])
        if everyone.sources[name].dedupe_s == 0:
            assert again["duplicate"] is False, "each of its requests is an event"
            continue
        # One with many items has no note.
        assert again == ({**first, "duplicate": True} if "ids" in first else repeated(first))


def test_a_doorbell_rings_by_get_and_its_key_is_in_no_log_and_no_file(gateway):
    address = "//in/bell/?key=the-key-of-the-bell&button=front"
    status, _, answer = ask(gateway, "GET", address)
    assert status == 202
    event = gateway.api(f"/api/events/{json.loads(answer)['id']}")[1]
    assert (event["type"], event["payload"], event["query"]) == ("ring.front", {}, {"button": "front"})
    assert ask(gateway, "GET", "/in/bell?key=another-key-of-it&button=front")[0] == 401
    assert ask(gateway, "HEAD", "/in/bell?key=the-key-of-the-bell")[::2] == (200, b"")
    assert ask(gateway, "HEAD", "/in/bell")[0] == 401
    origin = {"webhook-request-origin": "events.example.com"}
    status, headers, answer = ask(gateway, "OPTIONS", "/in/bell?key=the-key-of-the-bell", b"", origin)
    assert (status, answer, headers["webhook-allowed-origin"]) == (200, b"", "events.example.com")
    status, headers, _ = ask(gateway, "PUT", "/in/bell?key=the-key-of-the-bell")
    assert (status, headers["allow"]) == (405, "GET, POST, HEAD, OPTIONS")
    eventually(lambda: "bell" in gateway.log_text(), "the event is logged")
    assert "the-key-of-the-bell" not in gateway.log_text()
    files = b"".join(file.read_bytes() for file in gateway.folder.glob("gateway.db*"))
    assert b"button=front" in files
    assert b"the-key-of-the-bell" not in files


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_compressed_body_arrives_and_a_bomb_does_not(gateway, pack):
    body = json.dumps({"kind": "packed", "number": pack.__module__, "list": list(range(1000))}).encode()
    coding = "gzip" if pack is gzip.compress else "deflate"
    headers = {"x-token": "t0ken", "content-type": "application/json", "content-encoding": coding}
    status, _, answer = ask(gateway, "POST", "/in/forms", pack(body), headers)
    assert status == 202
    event = gateway.api(f"/api/events/{json.loads(answer)['id']}")[1]
    assert (event["type"], event["payload"]) == ("packed", json.loads(body))
    for bomb, expected in ((pack(bytes(30_000_000)), 413), (pack(body)[:-6], 400), (body, 400)):
        assert ask(gateway, "POST", "/in/forms", bomb, headers)[0] == expected
    status, answered, _ = ask(gateway, "POST", "/in/forms", body, headers | {"content-encoding": "br"})
    assert (status, answered["accept-encoding"]) == (415, "gzip, deflate")
