"""``gateway explain`` and ``gateway render``: why an event goes where, and what is sent; no secret in it."""

import hashlib
import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import play
from gateway.cli.surroundings import loaded
from gateway.hiding.masks import Masks
from tests.acceptance.harness import SAMPLES, SECRET, GatewayProcess
from tests.cli import command

ROUTES = r"""version: 1
sources:
  xobito: {preset: xobito, secret: "${XOBITO_WEBHOOK_SECRET}"}
destinations:
  slack-leads: {type: slack, url: "${SLACK_LEADS_URL}"}
  crm:
    url: https://crm.example.com/api/v1?key=${QUERY_KEY}
    auth: {bearer: "${CRM_TOKEN}"}
    headers: {x-tenant-key: "${file:tenant.key}"}
  archive: {type: file, path: archive.ndjson}
always:
  - to: archive
routes:
  - name: nothing-to-say
    match: message.*
    to: []
  - name: customer-to-crm
    match: [contact.created, contact.updated]
    where:
      attrs.type: customer
      attrs.tenant_id: 13
      attrs.nowhere: {gt: 5}
    to: crm
    body: {id: "{{ attrs.id }}"}
  - name: contact-to-crm
    source: xobito
    match: contact.*
    where:
      any: [{attrs.type: [lead, customer]}, {attrs.nowhere: x}]
    if: attrs.firstname != "Nobody"
    to: crm
    method: PUT
    path: /contacts/{{ attrs.id }}
    headers: {x-signed-by: "${SIGNER}"}
    body: {id: "{{ attrs.id }}", token: "${CRM_TOKEN}", key: "${file:tenant.key}", name: "{{ attrs.firstname }}"}
  - name: new-lead
    match: contact.created
    to: slack-leads
    text: New {{ attrs.nowhere }}
    stop: true
  - name: never
    match: contact.created
    to: crm
unmatched:
  - to: crm
"""
ENVIRON = {
    "XOBITO_WEBHOOK_SECRET": SECRET,
    "SLACK_LEADS_URL": "https://hooks.slack.com/services/T0SECRET/B0SECRET/aaaabbbbccccdddd",
    "CRM_TOKEN": 'crm"token&<secret>',
    "QUERY_KEY": "query+key/secret",
    "SIGNER": "signer-secret",
}
KEY_FILE = 'file-secret "key"'
#: What must be in no output, in whatever spelling.
SECRETS = re.compile(
    r"acceptance-secret|T0SECRET|B0SECRET|aaaabbbb|crm.{1,6}token|query.{1,3}key|signer-secret|file-secr"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "tenant.key").write_text(KEY_FILE)
    (folder / "templates" / "slack").mkdir(parents=True)
    (folder / "templates" / "slack" / "lead.json.j2").write_text('{"text": "New *{{ attrs.firstname }}*"}')
    (folder / "templates" / "lead.txt.j2").write_text("New {{ attrs.firstname }}\n\n{{ attrs.nowhere }}\n")
    (folder / "templates" / "typo.txt.j2").write_text("New\n{{ atrs.firstname }}\n")
    (folder / "event.json").write_bytes(SAMPLES["contact.created"])
    return folder


def run(folder, *arguments, environ=ENVIRON):
    return command.run(*arguments, cwd=folder, environ=environ)


@pytest.fixture(scope="module")
def explained(folder):
    done = run(folder, "explain", "contact.created")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def line_with(text, *words):
    [line] = [" ".join(line.split()) for line in text.splitlines() if all(word in line for word in words)]
    return line


# --- why ---


def test_each_condition_stands_beside_the_value_that_it_saw(explained):
    assert line_with(explained, "attrs.type: customer") == 'no attrs.type: customer attrs.type: "lead"'
    assert line_with(explained, "attrs.tenant_id: 13") == "yes attrs.tenant_id: 13 attrs.tenant_id: 13"
    assert line_with(explained, "{gt: 5}") == "no attrs.nowhere: {gt: 5} attrs.nowhere: missing"
    assert line_with(explained, "[lead, customer]", '"lead"') == 'yes attrs.type: [lead, customer] attrs.type: "lead"'
    assert line_with(explained, "attrs.nowhere: x", "missing") == "no attrs.nowhere: x attrs.nowhere: missing"
    assert line_with(explained, "if:") == 'yes if: attrs.firstname != "Nobody"'
    assert line_with(explained, "source: xobito").startswith('yes source: xobito event.source: "xobito"')


def test_every_entry_has_its_line_in_the_order_of_the_file(explained):
    above = explained.partition("deliveries\n")[0]
    names = re.findall(r"^  (?:yes|no | - )  ?(\S+) \(routes.yaml:\d+\)", above, re.MULTILINE)
    assert names == [
        "always/archive",
        "nothing-to-say",
        "customer-to-crm",
        "contact-to-crm",
        "new-lead",
        "never",
        "unmatched/crm",
    ]
    assert line_with(explained, "always/archive (").endswith("matches every event")
    assert line_with(explained, "nothing-to-say (").endswith('match: message.* event.type: "contact.created"')
    assert line_with(explained, "new-lead (").endswith("stop: no later entry is checked")
    assert "not checked" in line_with(explained, "never (")
    assert "not checked" in line_with(explained, "unmatched/crm (")


def test_the_exact_request_of_every_delivery_follows(explained):
    assert "3 deliveries\n" in explained
    assert "  PUT https://crm.example.com/api/v1/contacts/451?key=***\n" in explained
    assert "  authorization: ***\n" in explained
    assert "a line in archive.ndjson" in explained
    assert 'dead: routes.yaml:39: the event has no field attrs.nowhere: write | default("...")' in explained


def test_when_each_destination_is_tried_again_stands_at_the_end(explained):
    schedules = explained.partition("\nif a delivery fails\n")[2].splitlines()
    assert [" ".join(line.split()) for line in schedules] == [
        f"{name} retried after 1 s, 2 s, 4 s ... up to 1 h, for 24 h (about 35 attempts)"
        for name in ("archive", "crm", "slack-leads")
    ]


def test_an_ignored_event_says_so(folder):
    done = run(folder, "explain", "message.read")
    assert line_with(done.stdout, "nothing-to-say (").endswith("to: [] ignores the event")
    assert "1 delivery\n" in done.stdout


def test_a_changed_event_is_another_event(folder):
    done = run(folder, "explain", "contact.created", "--set", "attrs.type=customer", "--set", "attrs.nowhere=6")
    assert line_with(done.stdout, "attrs.type: customer") == 'yes attrs.type: customer attrs.type: "customer"'
    assert line_with(done.stdout, "{gt: 5}").startswith("yes")
    assert "4 deliveries\n" in done.stdout


def test_an_expression_that_fails_counts_as_yes_and_says_why(folder, tmp_path):
    (tmp_path / "routes.yaml").write_text(ROUTES.replace('attrs.firstname != "Nobody"', "attrs.firstname > 5"))
    (tmp_path / "tenant.key").write_text(KEY_FILE)
    done = run(tmp_path, "explain", "contact.created")
    assert line_with(done.stdout, "if:", "cannot compare").startswith("yes if: attrs.firstname > 5 fails")
    assert "dead: routes.yaml:30: cannot compare text with a number" in done.stdout


# --- as data and as commands ---


def test_json_has_all_of_it(folder):
    told = json.loads(run(folder, "explain", "contact.created", "--json").stdout)
    assert told["event"]["type"] == "contact.created"
    crm = next(each for each in told["entries"] if each["name"] == "customer-to-crm")
    assert (crm["section"], crm["taken"], crm["considered"]) == ("routes", False, True)
    assert crm["clauses"][3] == {
        "text": "attrs.nowhere: {gt: 5}",
        "held": False,
        "field": "attrs.nowhere",
        "missing": True,
    }
    archive, sent, dead = told["deliveries"]
    assert archive["request"]["line"]["body"] == json.loads(SAMPLES["contact.created"])
    assert sent["request"]["method"] == "PUT"
    assert sent["request"]["body"] == {"id": 451, "token": "***", "key": "***", "name": "John"}
    assert dead["request"] is None
    assert "attrs.nowhere" in dead["error"]


def test_curl_gives_the_request_to_the_shell_as_it_is(folder):
    done = run(folder, "explain", "contact.created", "--curl", "--set", "attrs.firstname=O'Neil $(id) `x`\\")
    script = 'curl() { printf "%s\\n" "$@"; }\n' + done.stdout
    shown = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    arguments = shown.splitlines()
    assert arguments[:4] == ["-sS", "--request", "PUT", "https://crm.example.com/api/v1/contacts/451?key=***"]
    assert "content-type: application/json" in arguments
    assert json.loads(arguments[-1])["name"] == "O'Neil $(id) `x`\\"


# --- which event ---


def test_a_file_is_an_event(folder, explained):
    without_time = re.compile(r'"received_at": .*|x-webhook-signature.*')
    done = run(folder, "explain", "event.json")
    assert without_time.sub("", done.stdout) == without_time.sub("", explained)


@pytest.mark.parametrize("content", [b" ", b"{", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_a_file_that_is_no_event_is_refused_in_one_line(folder, tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    done = run(folder, "explain", str(tmp_path / "bad.json"))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["contact.creatd"], 2, '(did you mean "contact.created"?)'),
        (["contact.created", "--set", "attrs.type"], 2, "write PATH=VALUE"),
        (["contact.created", "--source", "stripe"], 2, "unknown source stripe (known: xobito)"),
        (["evt_nothing"], 1, "no such store"),
        (["contact.created", "-c", "nowhere.yaml"], 1, "nowhere.yaml"),
    ],
    ids=["unknown", "set", "source", "store", "config"],
)
def test_what_cannot_be_explained_is_refused_with_the_remedy(folder, arguments, code, said):
    done = run(folder, "explain", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_several_sources_need_to_be_told_apart(folder, tmp_path):
    two = ROUTES.replace("destinations:", '  other: {preset: xobito, secret: "s2"}\ndestinations:', 1)
    (tmp_path / "routes.yaml").write_text(two)
    (tmp_path / "tenant.key").write_text(KEY_FILE)
    assert (
        "xobito and other have a sample contact.created: add --source"
        in run(tmp_path, "explain", "contact.created").stderr
    )
    done = run(tmp_path, "explain", "contact.created", "--source", "other")
    assert line_with(done.stdout, "contact-to-crm (").endswith('source: xobito event.source: "other"')


def test_what_is_not_set_is_made_up(folder):
    done = run(folder, "explain", "contact.created", "--set", "attrs.nowhere=x", environ={})
    assert done.returncode == 0
    assert "  POST https://slack-leads.example" in done.stdout


def test_a_stored_event_is_explained_by_the_running_gateway_and_by_its_store(tmp_path):
    routes = "version: 1\nsources: {xobito: {preset: xobito, secret: acceptance-secret}}\n"
    routes += "destinations: {log: {type: file, path: log.ndjson}}\n"
    routes += "routes: [{name: r, match: contact.created, to: log, body: {id: '{{ event.id }}'}}]\n"
    gateway = GatewayProcess(tmp_path, routes)
    with gateway:
        event_id = gateway.post(SAMPLES["contact.created"])[1]["id"]
        [delivery] = gateway.settled(event_id)
        asked = [gateway.verb("explain", each, "--json").stdout for each in (event_id, delivery["id"])]
        gateway.terminate()
    read = gateway.verb("explain", event_id, "--json").stdout
    assert asked == [read, read]
    [sent] = json.loads(read)["deliveries"]
    assert sent["request"]["line"]["body"] == {"id": event_id}
    changed = gateway.verb("explain", event_id, "--set", "payload.event=deleted").stdout
    assert changed.startswith(f"contact.deleted from xobito, {event_id}\n")
    assert "Nothing is sent." in changed
    assert "not from stripe" in gateway.verb("explain", event_id, "--source", "stripe", check=False).stderr
    (tmp_path / "routes.yaml").write_text(routes.replace("xobito: {preset", "other: {preset"))
    gone = gateway.verb("explain", event_id, check=False)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert "came from xobito, which is no longer in routes.yaml" in gone.stderr


# --- for people ---


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "no-colour"])
def test_a_terminal_gets_colours_unless_it_wants_none(folder, environ, coloured):
    leader, follower = os.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "explain", "message.read"],
        cwd=folder, env={**clean, **ENVIRON, "TERM": "xterm", **environ}, stdout=follower,
    )  # fmt: skip
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:
        pass  # how a terminal whose other end was closed ends on Linux
    finally:
        os.close(leader)
    assert process.wait(60) == 0
    assert (b"\x1b[3" in shown) is coloured


def test_what_is_no_terminal_gets_plain_text_and_a_sender_cannot_steer_one(folder):
    done = run(folder, "explain", "contact.created", "--set", 'attrs.firstname="\\u001b[31m\\u202eevil"')
    assert "evil" in done.stdout
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", done.stdout)


# --- a template alone ---


def test_render_prints_what_a_template_makes_of_an_event(folder):
    done = run(folder, "render", "slack/lead.json.j2", "--set", "attrs.firstname=<!channel>")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"text": "New *&lt;!channel&gt;*"}
    assert done.stdout.startswith("{\n")


def test_render_escapes_for_the_destination_that_it_is_told(folder):
    changed = ("--set", "attrs.firstname=<!channel>")
    plain = run(folder, "render", "templates/slack/lead.json.j2", "--for", "http", *changed)
    assert json.loads(plain.stdout) == {"text": "New *<!channel>*"}
    text = ("render", "lead.txt.j2", "--set", "attrs.nowhere=here", *changed)
    assert run(folder, *text).stdout.startswith("New <!channel>\n\nhere")
    assert run(folder, *text, "--for", "slack").stdout.startswith("New &lt;!channel&gt;\n\nhere")


def test_render_says_the_line_on_which_a_template_fails(folder):
    done = run(folder, "render", "lead.txt.j2", "--event", "contact.updated")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        'templates/lead.txt.j2:3: the event has no field attrs.nowhere: write | default("...")'
        "  (with contact.updated)\n"
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("led.txt.j2", 'did you mean "lead.txt.j2"?'),
        ("../tenant.key", "must end in .json.j2"),
        ("../../outside.txt.j2", "unknown template"),
        ("/etc/passwd", "/etc/passwd"),
    ],
)
def test_render_refuses_what_is_no_template_of_the_folder(folder, template, said):
    done = run(folder, "render", template)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_render_says_the_line_on_which_a_template_cannot_be_compiled(folder):
    done = run(folder, "render", "typo.txt.j2")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'templates/typo.txt.j2:2:4: unknown name "atrs"' in done.stderr


def test_render_speaks_of_the_template_first_when_routes_yaml_has_problems_too(folder, tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "typo.txt.j2").write_text("{{ atrs.x }}")
    (tmp_path / "tenant.key").write_text(KEY_FILE)
    uses = "\n    template: typo.txt.j2\n  - name: odd\n    mtch: x\n    to: crm\n"
    (tmp_path / "routes.yaml").write_text(ROUTES.replace('\n    body: {id: "{{ attrs.id }}"}\n', uses))
    done = run(tmp_path, "render", "typo.txt.j2")
    assert (done.returncode, done.stdout) == (1, "")
    assert 'templates/typo.txt.j2:1:4: unknown name "atrs"' in done.stderr
    assert "mtch" not in done.stderr
    assert "mtch" in run(tmp_path, "render", "other.txt.j2").stderr


# --- secrets ---

SAYING = [
    *(["check", "--format", output] for output in ("text", "json", "github")),
    *(
        ["explain", event, *output]
        for event in ("contact.created", "status.created")
        for output in ([], ["--curl"], ["--json"])
    ),
    ["render", "secret.json.j2"],
    ["render", "secret.json.j2", "--json"],
    ["render", "failing.txt.j2"],
]


@pytest.mark.parametrize("arguments", SAYING, ids=" ".join)
def test_no_verb_prints_a_secret_in_any_format(folder, tmp_path, arguments):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "secret.json.j2").write_text('{"token": "{{ vars.token }}", "key": {{ vars.key }}}')
    (tmp_path / "templates" / "failing.txt.j2").write_text("{{ vars.token | nosuch }}{{ vars.token / 3 }}")
    (tmp_path / "tenant.key").write_text(KEY_FILE)
    spoken = 'vars: {token: "${CRM_TOKEN}", key: "${file:tenant.key}"}\n'
    (tmp_path / "routes.yaml").write_text(f"{ROUTES}{spoken}")
    done = run(tmp_path, *arguments)
    assert done.stdout + done.stderr
    assert not SECRETS.search(done.stdout + done.stderr)


def test_a_variable_inside_slacks_own_escaping_is_masked_too(tmp_path):
    (tmp_path / "routes.yaml").write_text(
        'version: 1\nsources: {xobito: {preset: xobito, secret: "${XOBITO_WEBHOOK_SECRET}"}}\n'
        'destinations: {ops: {type: slack, url: "${SLACK_LEADS_URL}"}}\nvars: {token: "${CRM_TOKEN}"}\n'
        "routes: [{name: told, match: contact.created, to: ops, text: 'Token {{ vars.token }}.'}]\n"
    )
    for output in ([], ["--json"], ["--curl"]):
        told = run(tmp_path, "explain", "contact.created", *output).stdout
        assert "Token ***." in told


TAKEN_APART = """\
version: 1
sources: {xobito: {preset: xobito, secret: "\\u0024{XOBITO_WEBHOOK_SECRET}"}}
destinations:
  crm: {url: "https://${TENANT}.example.com/${TENANT}"}
  log: {type: file, path: "${TENANT}.ndjson"}
vars: {token: "\\u0024{CRM_TOKEN}", number: "${NUMBER:number}"}
conditions: {known: {vars.token: "${CRM_TOKEN}"}}
routes:
  - name: told
    match: contact.created
    where: {is: known}
    to: [crm, log]
    body:
      whole: "{{ vars.token }}"
      upper: "{{ vars.token | upper }}"
      back: "{{ vars.token | reverse }}"
      part: "{{ vars.token[:7] }}{{ vars.token | truncate(9) }}"
      apart: "{{ vars.token | list | join('-') }}"
      hash: "{{ vars.token | sha256 }}"
      twice: "{{ {'inner': {'token': vars.token} | tojson} | tojson }}"
  - {name: computed, match: contact.created, to: crm, body: {sum: "{{ vars.number + 0 }}"}}
"""
TENANT = {"CRM_TOKEN": 'to"ken-Sécret', "TENANT": "tenant-hidden", "NUMBER": "4815162342"}
IN_PIECES = re.compile(
    r"to.{0,6}ken|TO.{0,6}KEN|terc|cret|t-o-|tenant-hidden|4815162342|"
    + hashlib.sha256(TENANT["CRM_TOKEN"].encode()).hexdigest()
)


@pytest.mark.parametrize("output", [[], ["--json"], ["--curl"]], ids=str)
def test_whatever_a_template_makes_of_a_variable_is_masked(tmp_path, output):
    (tmp_path / "routes.yaml").write_text(TAKEN_APART, "utf-8")
    told = run(tmp_path, "explain", "contact.created", *output, environ={**ENVIRON, **TENANT})
    assert told.returncode == 0, told.stderr
    # The rest of a name that is no value is not masked.
    assert (
        IN_PIECES.findall(
            told.stdout.replace("vars.token", "").replace("CRM_TOKEN", "").replace('"token"', "").replace("token", "")
        )
        == []
    )
    assert "https://***.example.com/***" in told.stdout
    assert "***.ndjson" in told.stdout


def test_the_problems_that_explain_prints_are_masked(tmp_path):
    broken = TAKEN_APART.replace("{vars.token: ", "{attrs.id: {gt: ").replace('"${CRM_TOKEN}"}}', '"${CRM_TOKEN}"}}}')
    (tmp_path / "routes.yaml").write_text(broken, "utf-8")
    told = run(tmp_path, "explain", "contact.created", environ={**ENVIRON, **TENANT})
    assert told.returncode == 1
    assert '"gt" of "attrs.id" does not accept the value of ${CRM_TOKEN}' in told.stderr
    assert TENANT["CRM_TOKEN"] not in told.stderr


@given(st.text(min_size=6), st.text())
def test_a_secret_inside_json_is_masked_however_it_is_escaped(secret, around):
    masks = Masks([secret])
    for is_ascii in (True, False):
        assert json.dumps(secret, ensure_ascii=is_ascii)[1:-1] not in masks.text(
            json.dumps([around, secret, around], ensure_ascii=is_ascii)
        ).replace("***", "\0")


def test_a_secret_that_escaping_makes_vanish_masks_nothing_else():
    assert Masks(["\u202e" * 6]).text("a name") == "a name"


# --- routes that fire once, and whom failed tells ---

ONCE = """version: 1
sources: {xobito: {preset: xobito, secret: acceptance-secret}}
destinations:
  log: {type: file, path: log.ndjson}
  ops: {type: slack, url: "https://hooks.slack.com/services/T/B/x"}
routes:
  - {name: welcome, match: contact.created, to: log, once: {per: "{{ attrs.id }}", for: 90d}}
failed:
  - {to: ops}
"""


def test_what_a_route_fired_for_already_is_shown_with_the_event_it_fired_for(tmp_path):
    with GatewayProcess(tmp_path, ONCE) as gateway:
        first = gateway.post(SAMPLES["contact.created"])[1]["id"]
        second = gateway.post(SAMPLES["contact.created"] + b" ")[1]["id"]
        shown = gateway.verb("show", second).stdout
        explained = gateway.verb("explain", second).stdout
        before = gateway.verb("explain", first).stdout
    assert f"welcome  fired already for the key 451: {first}" in shown
    assert f"fired already for the key 451: {first}" in explained
    assert "Nothing is sent." in explained
    assert "fires once in 90d for the key 451" in before


CONDITIONS = """version: 1
sources: {xobito: {preset: xobito, secret: acceptance-secret}}
destinations: {crm: {url: "https://crm.example.com/api"}}
conditions: {both: {attrs.id: 1, attrs.type: lead}}
routes:
  - name: nested
    where:
      attrs.id: {not: {gte: 452}}
      attrs.type: {not: {prefix: a, suffix: b}}
      any: [{attrs.id: 1, attrs.type: lead}, {is: both}, {not: {attrs.id: 1}}]
    to: crm
"""


def test_every_line_of_an_explanation_names_the_condition_that_it_is_about(tmp_path):
    (tmp_path / "routes.yaml").write_text(CONDITIONS)
    lines = [line.strip() for line in run(tmp_path, "explain", "contact.created").stdout.splitlines()]
    at = lines.index("yes  attrs.id: {not: {gte: 452}}")
    assert " ".join(lines[at + 1].split()) == "no attrs.id: {gte: 452} attrs.id: 451"
    assert not {"yes", "no"} & set(lines)


def test_who_would_be_told_of_a_dead_delivery_is_explained_with_the_rest(tmp_path):
    (tmp_path / "routes.yaml").write_text(ONCE)
    gateway = GatewayProcess(tmp_path)
    shown = gateway.verb("explain", "contact.created").stdout
    assert "failed\n  yes  failed/ops (routes.yaml:9)  would report the first delivery that is given up" in shown
    own = gateway.verb("explain", "gateway.circuit.opened").stdout
    assert own.startswith("gateway.circuit.opened from gateway")
    assert "Nothing is sent." in own


# --- what a source redacts ---

REDACTING = """version: 1
sources: {xobito: {preset: xobito, secret: acceptance-secret, redact: [attrs.email, attrs.id]}}
destinations: {crm: {url: "https://crm.example.com/api"}}
routes:
  - name: known
    where: {attrs.email: {suffix: example.com}, attrs.id: {gt: 450}}
    to: crm
    path: /{{ attrs.firstname }}
    body: {mail: "{{ attrs.email }}"}
  - {name: next, to: crm, body: {id: "{{ attrs.id + 1 }}"}}
"""


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--curl"]], ids=["for people", "json", "curl"])
def test_what_a_source_redacts_is_asked_for_and_never_shown(tmp_path, arguments):
    (tmp_path / "routes.yaml").write_text(REDACTING)
    done = run(tmp_path, "explain", "contact.created", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "john@example.com" not in done.stdout
    assert "•••" in done.stdout
    assert "https://crm.example.com/api/John" in done.stdout
    assert "it depends on a value that the source redacts" in done.stdout


def test_a_clause_on_what_is_redacted_holds_and_shows_dots(tmp_path):
    (tmp_path / "routes.yaml").write_text(REDACTING)
    shown = run(tmp_path, "explain", "contact.created").stdout
    assert line_with(shown, "attrs.email:") == 'yes attrs.email: {suffix: example.com} attrs.email: "•••"'
    assert line_with(shown, "attrs.id:") == 'yes attrs.id: {gt: 450} attrs.id: "•••"'


def test_a_stored_event_that_came_masked_says_that_the_routes_saw_more(tmp_path, capsys):
    (tmp_path / "routes.yaml").write_text(REDACTING)
    payload = json.loads(SAMPLES["contact.created"])
    history = {
        "id": "evt_1", "source": "xobito", "type": "contact.created", "received_at": "2026-01-01T00:00:00.000Z",
        "intact": True, "headers": {}, "payload": payload, "held_back": [],
    }  # fmt: skip
    config = loaded(tmp_path / "routes.yaml", no_env=True)
    play._play_stored(config, history, "", ())
    assert capsys.readouterr().err == ""
    payload["data"]["attributes"]["email"] = "•••"
    play._play_stored(config, history, "", ())
    assert capsys.readouterr().err.startswith("note: the routes see ••• here for what xobito redacts")
    with pytest.raises(play.EventRefused, match="redacted after its last delivery"):
        play._play_stored(config, {**history, "body_is": "redacted"}, "", ())


# --- what is looked up first ---

LOOKING_UP = """version: 1
sources: {xobito: {preset: xobito, secret: "${XOBITO_WEBHOOK_SECRET}"}}
destinations:
  crm: {url: https://crm.example.com/api, auth: {bearer: "${CRM_TOKEN}"}}
routes:
  - name: person
    match: contact.created
    to: crm
    fetch: {person: {from: crm, path: /search, query: {term: "{{ attrs.email }}"}}}
    choose:
      - {if: person.items, method: PUT, path: "/persons/{{ person.items[0].id }}", body: {}}
      - {method: POST, path: /persons, body: {}}
  - {name: note, match: contact.created, to: crm, fetch: {owner: {from: crm, path: /owner}}, text: "{{ owner.name }}"}
"""


def test_the_request_of_a_look_up_comes_before_what_is_sent_if_it_finds_nothing(tmp_path):
    (tmp_path / "routes.yaml").write_text(LOOKING_UP)
    said = run(tmp_path, "explain", "contact.created").stdout
    parts = said.partition("person > crm\n")[2].splitlines()
    assert parts[0] == "  fetch person from crm: GET https://crm.example.com/api/search?term=john%40example.com"
    assert parts[1:3] == ["  then, as if person had found nothing:", "  POST https://crm.example.com/api/persons"]
    assert "not shown: it depends on what owner finds, which is looked up at the attempt" in said
    assert not SECRETS.search(said)


def test_a_look_up_can_be_made_by_hand(tmp_path):
    (tmp_path / "routes.yaml").write_text(LOOKING_UP)
    said = run(tmp_path, "explain", "contact.created", "--curl").stdout
    assert "# first, fetch person from crm\ncurl -sS --request GET 'https://crm.example.com/api/search?term=" in said
    assert "# then, as if person had found nothing\ncurl -sS https://crm.example.com/api/persons" in said
    assert not SECRETS.search(said)


# --- e-mails ---

MAILS = """version: 1
sources: {xobito: {preset: xobito, secret: s3cret-of-xobito}}
destinations:
  mail:
    type: email
    url: smtps://mail.example.com
    from: Gateway <gw@example.com>
    recipients: [a@example.com, b@example.com]
    subject: "New: {{ attrs.firstname }}"
    auth: {basic: {user: gateway, password: hush-hush-of-the-mail}}
routes: [{match: contact.created, to: mail, body: CONTENT}]
"""


@pytest.mark.parametrize(
    ("content", "content_type", "lines"),
    [
        ('{text: "Hello {{ attrs.firstname }}\\n\\nBye"}', "text/plain", ["Hello John", "", "Bye"]),
        ('{html: "<p>{{ attrs.firstname }}</p>"}', "text/html", ["<p>John</p>"]),
        ("{text: Hi, html: <p>Hi</p>}", "multipart/alternative", ["text/plain:", "Hi", "", "text/html:", "<p>Hi</p>"]),
    ],
    ids=["text", "html", "both"],
)
def test_an_e_mail_is_shown_as_it_will_be(tmp_path, content, content_type, lines):
    (tmp_path / "routes.yaml").write_text(MAILS.replace("CONTENT", content))
    done = command.run("explain", "contact.created", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = [line.strip() for line in done.stdout.splitlines()]
    start = shown.index("MAIL smtps://mail.example.com")
    assert shown[start : start + 6 + len(lines)] == [
        "MAIL smtps://mail.example.com",
        "from: Gateway <gw@example.com>",
        "to: a@example.com, b@example.com",
        "subject: New: John",
        f"content-type: {content_type}",
        "",
        *lines,
    ]
    [delivery] = json.loads(command.run("explain", "contact.created", "--json", cwd=tmp_path).stdout)["deliveries"]
    assert delivery["request"]["headers"]["content-type"] == content_type
    assert "hush-hush" not in done.stdout + json.dumps(delivery)
