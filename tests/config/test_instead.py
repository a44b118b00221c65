"""What check says to write instead of another product's words can be pasted: the file then loads, and means the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import format_problem, load
from gateway.config.schema import durations
from gateway.config.schema.signed import algorithm_like
from gateway.errors import ConfigError
from gateway.signatures import ALGORITHMS
from gateway.wording import duration, seconds
from tests.config.given import HEAD

ENTRY = "routes:\n  - name: r\n    {}\n"
MATCHED = "routes:\n  - name: r\n    to: crm\n    match: contact.*\n    {}\n"
DESTINATION = "  - name: r\n    to: [crm, other]\n"
SOURCE = "version: 1\nsources:\n  own:\n    type: '{{payload.type}}'\n    secret: s3cret-of-the-tests\n    {}\n"


def remedy(tmp_path, text):
    """What the one problem of a file says to write."""
    (tmp_path / "routes.yaml").write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    (problem,) = refused.value.problems
    return problem.hint.removeprefix("write ")


def loads(tmp_path, text):
    (tmp_path / "routes.yaml").write_text(text)
    return load(tmp_path / "routes.yaml", environ={"TOKEN": "t" * 20, "SLACK_BOT_TOKEN": "xoxb-" + "t" * 20})


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("disabled: true", "enabled: false"),
        ("active: false", "enabled: false"),
        ("inactive: yes", "enabled: false"),
        ("continue: false", "stop: true"),
        ("dry_run: true", "shadow: true"),
        ("when: attrs.type == 'lead'", "where: {attrs.type: lead}"),
        ("when: attrs.id > 5 && attrs.type == 'lead'", "if: attrs.id > 5 and attrs.type == 'lead'"),
        ("when: {attrs.type: lead}", "where: {attrs.type: lead}"),
        ("filter: [{attrs.type: lead}, {attrs.id: 7}]", "where: {all: [{attrs.type: lead}, {attrs.id: 7}]}"),
        ("unless: {attrs.type: lead}", "where: {not: {attrs.type: lead}}"),
        ("unless: attrs.id > 5", "if: not (attrs.id > 5)"),
        ("exclude: contact.deleted", "where: {event.type: {not: contact.deleted}}"),
        (
            "except: [contact.deleted, contact.updated]",
            "where: {event.type: {not: [contact.deleted, contact.updated]}}",
        ),
        ("ignore: 'contact.d*'", "where: {event.type: {not: {glob: 'contact.d*'}}}"),
        ("every: 15m", "digest: {every: 15m}"),
        ("when: {severity: critical}", "where: {attrs.severity: critical}"),
        ("matchers: ['severity=\"critical\"']", "where: {attrs.severity: critical}"),
        ("matchers: ['severity=~\"warning|critical\"', team!=web]", "where: {attrs.severity: {regex: 'warning|critical'}, attrs.team: {not: web}}"),
        ("match_re: {severity: warning|critical}", "where: {attrs.severity: {regex: 'warning|critical'}}"),
        ("labels: {severity: critical, attrs.team: web}", "where: {attrs.severity: critical, attrs.team: web}"),
    ],
)  # fmt: skip
def test_a_key_of_a_route(tmp_path, line, right):
    written = remedy(tmp_path, HEAD + MATCHED.format(line))
    assert written == right
    assert loads(tmp_path, HEAD + MATCHED.format(written + ("\n    text: x" if "digest" in written else "")))


@pytest.mark.parametrize(
    ("value", "right"),
    [
        ("{severity: critical}", "where: {attrs.severity: critical}"),
        ("{severity: critical, team: web}", "where: {attrs.severity: critical, attrs.team: web}"),
        ("{attrs.severity: critical}", "where: {attrs.severity: critical}"),
        ("{severity: {prefix: crit}}", "where: {attrs.severity: {prefix: crit}}"),
        ("{any: [{attrs.a: 1}, {attrs.b: 2}]}", "where: {any: [{attrs.a: 1}, {attrs.b: 2}]}"),
        ("{type: contact.created}", "match: contact.created"),
        ("{event_type: contact.*}", "match: contact.*"),
    ],
)
def test_a_pattern_that_is_a_map_of_fields(tmp_path, value, right):
    written = remedy(tmp_path, HEAD + ENTRY.format(f"to: crm\n    match: {value}"))
    assert written == right
    assert loads(tmp_path, HEAD + ENTRY.format(f"to: crm\n    {written}"))


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ("to: {leads: hello}", "to: leads, and text: hello next to it"),
        ("to: [{name: crm}, {name: log}]", "to: [crm, log]"),
        ("to: leads\n    message: hi", "text"),
        ("destination: crm", "to"),
        ("uses: crm", "to"),
        ("to: leads\n    blocks: []", "body: {text: ..., blocks: ...}"),
        ("to: leads\n    text: hi\n    username: bot", "body: {text: ..., username: ...} instead of text"),
        ("to: slack\n    text: hi", "leads, which is of type slack"),
        ("to: leads\n    text: [a, b]", "text: | and its lines below, indented"),
        ("slack: hi", "to: the name of a destination of type slack, and text: what is sent there"),
    ],
)
def test_a_message_under_another_name_is_one_problem(tmp_path, lines, right):
    assert remedy(tmp_path, HEAD + ENTRY.format(lines)) == right


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ("url: https://crm.example.com\n    disabled: true", "enabled: false"),
        ("url: https://crm.example.com\n    retries: 5", "retry: {attempts: 5}"),
        ("url: https://crm.example.com\n    max_attempts: 5", "retry: {attempts: 5}"),
        ("webhook_url: https://crm.example.com", "url"),
        ("url: https://crm.example.com\n    username: me", 'auth: {basic: {user: ..., password: "${PASSWORD}"}}'),
        ("url: https://crm.example.com\n    token: hush", 'auth: {bearer: "${TOKEN}"}'),
        ("type: slack\n    url: https://hooks.slack.example/T0\n    username: bot", "body: {text: ..., username: ...} in the route, as part of the message"),
        ("type: slack\n    token: hush", 'url: https://slack.com/api/chat.postMessage, auth: {bearer: "${SLACK_BOT_TOKEN}"} and channel: "#leads"'),
        ('type: slack\n    channel: "#x"\n    token: "${SLACK_URL}"', 'url: https://slack.com/api/chat.postMessage and auth: {bearer: "${SLACK_URL}"}'),
        ("type: discord\n    url: https://discord.example/T0\n    message: hi", "text in the route that sends it"),
        ("url: crm.example.com/api", "https://crm.example.com/api"),
        ("url: localhost:8080", "http://localhost:8080"),
        ("url: CRM_URL", '"${CRM_URL}"'),
        ("url: $CRM_URL", '"${CRM_URL}"'),
    ],
)  # fmt: skip
def test_a_destination_under_other_keys_is_one_problem(tmp_path, lines, right):
    text = HEAD + f"  other:\n    {lines}\n" + "routes:\n" + DESTINATION
    assert remedy(tmp_path, text + ("    text: hi\n" if "type: " in lines else "")) == right


OTHER = HEAD + "  other:\n    {}\nroutes:\n" + DESTINATION
URL = "url: https://crm.example.com\n    "


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        (URL + "rate_limit: 60/min", "rate: 60/min"),
        (URL + "rateLimit: 1/s", "rate: 1/s"),
        (URL + "throttle: 5 per second", "rate: 5/s"),
        (URL + "requests_per_minute: 90", "rate: 90/min"),
        (URL + "rate: {limit: 60, per: 1m}", "rate: 60/min"),
        (URL + "rate: {requests: 10, interval: second}", "rate: 10/s"),
        (URL + "rate_limit: {max: 100, window: 1h}", "rate: 100/h"),
        (URL + "timeoutSeconds: 30", "timeout: 30s"),
        (URL + "timeout_ms: 1500", "timeout: 1.5s"),
        (URL + "request_timeout: 20s", "timeout: 20s"),
        (URL + "retry: {for: forever}", "retry: {for: 30d}"),
        (URL + 'auth: {type: bearer, token: "${TOKEN}"}', 'auth: {bearer: "${TOKEN}"}'),
        (URL + 'auth: {token: "${TOKEN}"}', 'auth: {bearer: "${TOKEN}"}'),
        (URL + 'auth: {type: basic, username: me, password: "${TOKEN}"}', 'auth: {basic: {user: me, password: "${TOKEN}"}}'),
        (URL + 'auth: {username: me, password: "${TOKEN}"}', 'auth: {basic: {user: me, password: "${TOKEN}"}}'),
        (URL + 'auth: {type: api_key, name: X-Key, value: "${TOKEN}"}', 'auth: {header: {name: X-Key, value: "${TOKEN}"}}'),
        (URL + 'auth: {api_key: "${TOKEN}"}', 'auth: {header: {name: x-api-key, value: "${TOKEN}"}}'),
        (URL + 'auth: {basic: "me:${TOKEN}"}', 'auth: {basic: {user: me, password: "${TOKEN}"}}'),
        (URL + 'auth: {basic: "${TOKEN}:${TOKEN}"}', 'auth: {basic: {user: "${TOKEN}", password: "${TOKEN}"}}'),
        (URL + 'headers: "X-Api-Key: ${TOKEN}"', 'headers: {X-Api-Key: "${TOKEN}"}'),
        (URL + "headers: 'Accept: text/plain'", "headers: {Accept: text/plain}"),
        (URL + "headers: [{name: X-A, value: b}, {name: X-B, value: '1'}]", 'headers: {X-A: b, X-B: "1"}'),
        (URL + "headers: ['X-A: b', {X-B: c}]", "headers: {X-A: b, X-B: c}"),
        (URL + "hours: 9-17", "hours: {from: 09:00, to: 17:00}"),
        (URL + "hours: mon-fri 9:00 - 17:30", "hours: {days: mon-fri, from: 09:00, to: 17:30}"),
        (URL + "hours: all day", "hours: {days: mon-fri, from: 09:00, to: 18:00}"),
        ("kind: slack\n    url: https://hooks.slack.com/services/T0/B0/x", "type: slack"),
        ("uses: http\n    url: https://crm.example.com", "type: http"),
        ("endpoint: https://crm.example.com", "url"),
        ("api_url: https://crm.example.com", "url"),
        ('api_url: "${TOKEN}"\n    channel: "#a"', 'type: slack and url: "${TOKEN}", without channel: an incoming webhook has its own'),
    ],
)  # fmt: skip
def test_a_key_of_a_destination_in_the_notation_of_another_product(tmp_path, lines, right):
    """The value of the key above the one that is reported is part of the whole line that is right."""
    written = remedy(tmp_path, OTHER.replace("{}", lines).replace("to: [crm, other]", "to: [crm, other]\n    text: x"))
    assert written.partition(", which is")[0] in right
    pasted = lines.rpartition("\n    ")[0] + f"\n    {right}" if lines.startswith(URL) else ""
    assert not pasted or loads(tmp_path, OTHER.replace("{}", pasted))


@pytest.mark.parametrize(
    "auth",
    [
        "{type: bearer, token: hush-hush}",
        "{type: apiKey, in: header, name: X-Key, value: hush-hush}",
        "{type: basic, username: me, password: hush-hush}",
        "{type: oauth2, token: hush-hush}",
        '{basic: "me:hush-hush"}',
    ],
)
def test_the_secret_of_a_login_in_another_notation_is_not_shown_and_is_one_problem(tmp_path, auth):
    (tmp_path / "routes.yaml").write_text(OTHER.replace("{}", f"{URL}auth: {auth}"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    (problem,) = refused.value.problems
    assert "hush" not in format_problem(problem)


@pytest.mark.parametrize("value", ["'X-Api-Key: hush-hush'", "[{name: Authorization, value: hush-hush}]"])
def test_what_may_be_a_secret_in_a_header_is_not_repeated(tmp_path, value):
    (tmp_path / "routes.yaml").write_text(OTHER.replace("{}", f"{URL}headers: {value}"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert "hush" not in "".join(map(format_problem, refused.value.problems))


@pytest.mark.parametrize(
    ("lines", "right"),
    [
        ("fetch: {known: {destination: crm, path: /x}}", "fetch: {known: {from: crm, path: /x}}"),
        ("fetch: {known: {from: crm, path: /x, params: {a: b}}}", "fetch: {known: {from: crm, path: /x, query: {a: b}}}"),
        ("params: {a: b}", "query: {a: b}"),
        ("switch: [{if: attrs.id, path: /a}, {path: /b}]", "choose: [{if: attrs.id, path: /a}, {path: /b}]"),
        ("headers: [{name: X-A, value: b}]", "headers: {X-A: b}"),
        ("hours: 9 to 17", "hours: {from: 09:00, to: 17:00}"),
        ("group_by: [attrs.type]\n    group_wait: 30s", "digest: {every: 30s, by: attrs.type}\n    text: x"),
        ("group_by: [type]\n    group_wait: 30s\n    group_interval: 5m", "digest: {every: 30s, by: attrs.type}\n    text: x"),
        ("endpoint: /x", "path: /x"),
    ],
)  # fmt: skip
def test_a_key_of_a_route_in_the_words_of_another_product_is_one_problem(tmp_path, lines, right):
    written = remedy(tmp_path, HEAD + MATCHED.format(lines)).partition(", for one message")[0]
    assert written in right.partition("\n")[0]
    assert loads(tmp_path, HEAD + MATCHED.format(right))


@pytest.mark.parametrize(
    "names", ["crm & log", "[crm; log]", "crm; log", "crm, log", "crm and log", "crm | log", "crm + log"]
)
def test_several_destinations_in_one_text_are_a_list(tmp_path, names):
    assert remedy(tmp_path, HEAD + ENTRY.format(f"to: {names}")) == "a list: [crm, log]"


@pytest.mark.parametrize("key", ["receivers", "sinks", "outputs", "targets", "destination"])
def test_no_destination_is_unknown_below_another_name_of_their_section(tmp_path, key):
    text = HEAD.replace("destinations:", f"{key}:") + ENTRY.format("to: crm")
    assert remedy(tmp_path, text) in ("destinations", 'did you mean "destinations"?')


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("input: contact.created", "event"),
        ("input: {a: 1}", "payload"),
        ("input: contact.json", "file"),
        ("body: contact.updated", "event"),
    ],
)
def test_the_event_of_a_test_under_another_name(tmp_path, line, right):
    text = (
        HEAD
        + "routes:\n  - {to: [crm, log]}\n  - {to: leads, text: x}\ntests:\n  - name: t\n    {}\n    expect: [crm, log, leads]\n"
    )
    assert remedy(tmp_path, text.replace("{}", line)) == right
    (tmp_path / "contact.json").write_text('{"a": 1}')
    assert loads(tmp_path, text.replace("{}", line.replace(line.partition(":")[0], right, 1)))


@pytest.mark.parametrize("line", ["apiVersion: v1", "api_version: 2", "schemaVersion: 1.0"])
def test_the_version_under_another_name_is_right_after_one_round(tmp_path, line):
    text = HEAD + ENTRY.format("to: crm")
    assert remedy(tmp_path, text.replace("version: 1", line)) == "version: 1"


@pytest.mark.parametrize("word", ["all", "always", "any", "true", "everything"])
def test_a_word_for_every_event_is_a_pattern(tmp_path, word):
    config = loads(tmp_path, HEAD + ENTRY.format(f"to: [crm, log]\n    match: {word}"))
    assert [each.hint for each in config.warnings if "matches no" in each.message] == [
        'write match: "**" for every event'
    ]
    right = loads(tmp_path, HEAD + ENTRY.format('to: [crm, log]\n    match: "**"'))
    assert not [each for each in right.warnings if "match" in each.message]


@pytest.mark.parametrize("text", ["hexadecimal", "HEX", "base16", "Base64", "b64", "base64-url", "url-safe-base64"])
def test_an_encoding_under_another_name(tmp_path, text):
    source = "verify: {signature: {header: x-sig, encoding: ENCODING}}"
    right = remedy(tmp_path, SOURCE.format(source.replace("ENCODING", text)))
    assert loads(tmp_path, SOURCE.format(source.replace("ENCODING", right)))


@pytest.mark.parametrize("name", ["rotate", "create", "operate", "migrate"])
def test_a_key_is_not_taken_for_a_short_one_that_is_in_it(tmp_path, name):
    assert "did you mean" not in remedy(tmp_path, OTHER.replace("{}", f"{URL}{name}: daily"))


def test_a_token_of_slack_is_no_address_even_if_it_comes_from_a_variable(tmp_path):
    (tmp_path / "routes.yaml").write_text(HEAD + '  bot: {type: slack, url: "${SLACK_URL}"}\n')
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={"SLACK_URL": "xoxb-1-2-hush"})
    (problem,) = refused.value.problems
    assert 'auth: {bearer: "${SLACK_URL}"} and channel: "#leads"' in problem.hint
    assert "hush" not in f"{problem}"


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("verify: sha512", "verify: {signature: {header: x-signature, algorithm: sha512}}"),
        ("verify: token", "verify: {token: {header: x-token}}"),
        ("verify: {hmac: {header: x-sig, algorithm: sha1}}", "signature: {header: x-sig, algorithm: sha1}"),
        ("verify: {header: x-sig}", "signature: {header: x-sig}"),
        ("verify: {signature: {header: x-sig, signed: '${timestamp}.${body}'}, timestamp: {header: x-at}}", 'signed: "{timestamp}.{body}"'),
        ("verify: {signature: {header: x-sig, signed: '{{timestamp}}.{{raw_body}}'}}", 'signed: "{timestamp}.{body}"'),
        ("verify: {signature: {header: x-sig, signed: timestamp.payload}}", 'signed: "{timestamp}.{body}"'),
        ("verify: {signature: {header: x-sig, signed: '$body'}}", 'signed: "{body}"'),
        ("verify: {signature: {header: x-sig, algorithm: hmac-sha256}}", "sha256, which is an HMAC"),
        ("verify: github", "preset: github"),
        ("verify: X-Billing-Signature", "verify: {signature: {header: X-Billing-Signature}}"),
        ("verify: {hmac: sha256, header: X-Billing-Signature}", "signature: {header: X-Billing-Signature, algorithm: sha256}"),
        ("verify: {header: X-Billing-Signature, hmac: sha256}", "signature: {header: X-Billing-Signature, algorithm: sha256}"),
        ("verify: {hmac_sha1: X-Billing-Signature}", "signature: {header: X-Billing-Signature, algorithm: sha1}"),
        ("verify: {type: hmac, algorithm: sha512, header: X-Sig, encoding: base64, prefix: 'v1='}", "signature: {header: X-Sig, algorithm: sha512, encoding: base64, prefix: 'v1='}"),
        ("verify: {header: X-Sig, encoding: base64}", "signature: {header: X-Sig, encoding: base64}"),
        ('verify: {type: hmac, algorithm: sha256, header: X-Sig, payload: "{timestamp}.{body}", timestamp_header: X-Timestamp, encoding: hex}', 'verify: {signature: {header: X-Sig, algorithm: sha256, signed: "{timestamp}.{body}", encoding: hex}, timestamp: {header: X-Timestamp}}'),
        ("verify: {hmac: sha1, timestamp_header: X-Timestamp, signed_payload: '${timestamp}:${body}'}", 'verify: {signature: {header: x-signature, algorithm: sha1, signed: "{timestamp}:{body}"}, timestamp: {header: X-Timestamp}}'),
        ("verify: {header: X-Sig, payload: '{body}'}", 'signature: {header: X-Sig, signed: "{body}"}'),
        ("verify: {payload: auth.token}", "token: {payload: auth.token}"),
        ("verify: {type: token, header: X-Token}", "token: {header: X-Token}"),
        ("verify: {type: bearer}", "bearer: true"),
        ("verify: {signature: X-Billing-Signature}", "signature: {header: X-Billing-Signature}"),
        ("verify: {token: X-Token}", "token: {header: X-Token}"),
        ("verify: {signature: hush-hush}", "signature: {header: x-signature}"),
        ("signature: X-Billing-Signature", "verify: {signature: {header: X-Billing-Signature}}"),
        ("signature: {header: X-Billing-Signature, algorithm: sha1}", "verify: {signature: {header: X-Billing-Signature, algorithm: sha1}}"),
        ("hmac: sha512\n    signature_header: X-Sig", "verify: {signature: {header: X-Sig, algorithm: sha512}}"),
        ("header: X-Sig\n    algorithm: HMAC-SHA1\n    encoding: base64", "verify: {signature: {header: X-Sig, algorithm: sha1, encoding: base64}}"),
        ("signature: X-Sig\n    timestamp: X-Timestamp", 'verify: {signature: {header: X-Sig, signed: "{timestamp}.{body}"}, timestamp: {header: X-Timestamp}}, with signed as the sender documents it'),
    ],
)  # fmt: skip
def test_a_way_to_verify_in_the_words_of_others_is_one_problem(tmp_path, line, right):
    written = remedy(tmp_path, SOURCE.format(line))
    assert written == right
    pasted = written.removesuffix(", with signed as the sender documents it")
    if pasted.startswith("verify: "):
        assert loads(tmp_path, SOURCE.format(pasted))
    elif pasted.startswith(("signature: ", "token: ", "bearer: ")):
        assert loads(tmp_path, SOURCE.format(f"verify: {{{pasted}}}"))


@pytest.mark.parametrize(
    ("line", "hint", "right"),
    [
        ("{signature: {header: x-sig}, payload: '{body}'}", 'add signed: "{body}" to the existing signature', "{signature: {header: x-sig, signed: '{body}'}}"),
        ("{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp_header: X-At}", "timestamp: {header: X-At}", "{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At}}"),
        ("{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At, max_age: 5m}}", "tolerance", "{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At, tolerance: 5m}}"),
        ("{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At, maxAge: 5m}}", "tolerance", "{signature: {header: x-sig, signed: '{timestamp}.{body}'}, timestamp: {header: X-At, tolerance: 5m}}"),
    ],
)  # fmt: skip
def test_a_part_of_verify_belongs_to_it_and_to_nothing_far_away(tmp_path, line, hint, right):
    (tmp_path / "routes.yaml").write_text(SOURCE.format(f"verify: {line}"))
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert hint in [each.hint.removeprefix("write ") for each in refused.value.problems]
    assert loads(tmp_path, SOURCE.format(f"verify: {right}"))


META = "version: 1\nsources:\n  meta:\n    preset: meta\n    secret: s3cret-of-the-tests\n    {}\n"


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ('handshake: {token: "${TOKEN}"}', 'verify: {handshake_token: "${TOKEN}"}'),
        ('handshake: {verify_token: "${TOKEN}"}', 'verify: {handshake_token: "${TOKEN}"}'),
        ("handshake: ${TOKEN}", 'verify: {handshake_token: "${TOKEN}"}'),
        ("handshake: {probe: {method: HEAD}}", "handshake: [{probe: {method: HEAD}}]"),
        ('verify: {token: "${TOKEN}"}', 'handshake_token: "${TOKEN}"'),
        ('verify: {verify_token: "${TOKEN}"}', 'handshake_token: "${TOKEN}"'),
        ("verify: {challenge_token: hush-hush}", 'handshake_token: "${VERIFY_TOKEN}"'),
        ('verify: {handshake: {token: "${TOKEN}"}}', 'handshake_token: "${TOKEN}"'),
        ("verify_token: ${TOKEN}", 'verify: {handshake_token: "${TOKEN}"}'),
        ("handshake_token: ${TOKEN}", 'verify: {handshake_token: "${TOKEN}"}'),
        ("hub.verify_token: hush-hush", 'verify: {handshake_token: "${VERIFY_TOKEN}"}'),
    ],
)
def test_the_token_of_a_handshake_keeps_the_signature(tmp_path, line, right):
    written = remedy(tmp_path, META.format(line))
    assert written == right
    pasted = written if ": {" in written or ": [" in written else f"verify: {{{written}}}"
    text = META.format(pasted).replace("VERIFY_TOKEN", "TOKEN")
    config = loads(tmp_path, text)
    assert config.sources["meta"].verifier.schemes[0].way == "signature"
    assert not [each for each in config.warnings if "replaces" in each.message]


def test_a_second_verify_is_not_proposed(tmp_path):
    written = remedy(tmp_path, META.format("verify_token: ${TOKEN}\n    verify: {signature: {header: x-sig}}"))
    assert written == 'add handshake_token: "${TOKEN}" to the existing verify'


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_in_any_spelling_is_itself(name):
    for text in (name.upper(), name.replace("-", "_"), name.replace("-", "")):
        if text != name:
            assert algorithm_like(text) == f"write {name}"


@pytest.mark.parametrize(
    ("text", "right"),
    [("HMAC-SHA512", "sha512"), ("hmacWithSHA1", "sha1"), ("HS256", "sha256"), ("RS256", "rsa-sha256"), ("ES256", "ecdsa-p256"), ("EdDSA", "ed25519")],
)  # fmt: skip
def test_an_algorithm_under_another_name(text, right):
    assert algorithm_like(text).startswith(f"write {right}")


@pytest.mark.parametrize("text", ["md5", "sha384", "hmac-md5", "crc32", "bcrypt"])
def test_an_algorithm_that_is_none_here_is_not_taken_for_another(text):
    assert algorithm_like(text).startswith("known: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5000", "write 5s"),
        ("60000", "write 1m"),
        ("30", "write 30s"),
        ("1000", "write 1000s for seconds, or 1s for milliseconds"),
        ("1.5", "write 1.5s"),
        ("5 seconds", "write 5s"),
        ("5sec", "write 5s"),
        ("1 hour", "write 1h"),
        ("90 mins", ""),
        ("PT1M30S", "write 1m30s"),
        ("00:01:30", "write 1m30s"),
        ("2 weeks", ""),
        ("0", ""),
        ("soon", ""),
    ],
)
def test_a_timeout_in_other_notations(text, hint):
    assert durations.instead(text, 0.1, 3600) == hint


@given(st.integers(1, 3600), st.sampled_from(["{} s", "{}sec", "{} seconds", "{}", "PT{}S"]))
def test_a_number_of_seconds_in_any_notation_is_that_many_seconds(number, notation):
    hint = durations.instead(notation.format(number), 0.1, 3600)
    assert seconds(hint.removeprefix("write ").partition(" for seconds")[0]) == number


@given(st.integers(1, 3600))
def test_a_number_of_milliseconds_that_is_no_number_of_seconds_is_meant_as_such(number):
    hint = durations.instead(str(number * 1000), 0.1, 3600)
    assert duration(number) in hint
