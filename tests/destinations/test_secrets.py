"""What holds for every kind of destination: it leaks no secret."""

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.destinations import KINDS, Kind, Target
from gateway.errors import BuildError
from gateway.model import Json, Raw, Reply, Text
from tests.cli import command
from tests.destinations import examples
from tests.destinations.values import parts

SECRET = "s3cr3t-Sentinel"
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TARGET = Target(
    url=f"https://host/services/{SECRET}?key={SECRET}",
    path="events.ndjson",
    headers=(("x-api-key", SECRET),),
    auth=("authorization", f"Bearer {SECRET}"),
    login="auth.bearer is ${TOKEN}, which is read at start",
    options={"channel": "#leads", "chat_id": "1"},
)


def target_of(kind: Kind) -> Target:
    """The target with the options that the kind cannot do without."""
    return replace(TARGET, options={**TARGET.options, **examples.options(kind)})


@KIND
def test_no_repr_shows_a_secret(kind: Kind) -> None:
    entry = parts(content=Text("hi"), headers=(("x-token", SECRET),), query=(("token", SECRET),))
    request = kind.build(target_of(kind), entry)
    assert SECRET not in f"{TARGET!r} {TARGET} {entry!r} {entry} {request!r} {request}"


@KIND
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"path": f"/{SECRET * 5_000}"}, id="path"),
        pytest.param({"query": (("key", SECRET * 5_000),)}, id="query"),
        pytest.param({"content": Json({SECRET: "\ud800"})}, id="json"),
        pytest.param({"content": Json([SECRET])}, id="list"),
        pytest.param({"content": Text(f"{SECRET}\ud800")}, id="text"),
        pytest.param({"content": Raw(SECRET.encode() + b"\xff", "text/plain")}, id="bytes"),
        pytest.param({"content": None}, id="nothing"),
    ],
)
def test_no_error_tells_a_secret(kind: Kind, wrong) -> None:
    try:
        kind.build(target_of(kind), parts(**{"content": Text("hi")} | wrong))
    except BuildError as error:
        assert SECRET not in f"{error} {error!r} {error.__cause__!r}"


ANSWERS = [
    b"",
    b"no",
    b"ok",
    b'{"ok": false}',
    b'{"code": 10015}',
    b'{"error": {"status": "NOT_FOUND"}}',
    b"invalid_auth",
]


@KIND
@pytest.mark.parametrize("status", [200, 204, 301, 302, 308, 400, 401, 403, 404, 410, 413, 415, 422, 429, 500, 503])
def test_no_verdict_tells_a_secret_of_the_destination_or_where_a_redirect_led(kind: Kind, status: int) -> None:
    for body in ANSWERS:
        headers = {"location": f"https://host/{SECRET}", "retry-after": SECRET}
        assert SECRET not in repr(kind.judge(TARGET, Reply(status=status, headers=headers, body=body), 0.0))


LONG = SECRET + "-" * 20


def load_and_explain(folder: Path, kind: Kind, secret: str, *, wrong: str = "") -> str:
    (folder / "routes.yaml").write_text(
        f"""version: 1
sources: {{xobito: {{preset: xobito, secret: "{secret}"}}}}
destinations:
  there: {{{examples.written(kind, secret)}{wrong}}}
routes: [{{name: all, to: there, text: hi}}]
"""
    )
    runs = ([], ["--json"], ["--curl"])
    done = [command.run("explain", "contact.created", *run, cwd=folder, environ={"TOKEN": LONG}) for run in runs]
    assert {each.returncode for each in done} == ({1} if wrong else {0})
    return "".join(each.stdout + each.stderr for each in done)


@KIND
def test_explain_shows_no_secret_of_a_destination(tmp_path, kind: Kind) -> None:
    for secret in ("${TOKEN}", LONG):
        told = load_and_explain(tmp_path, kind, secret)
        assert "there" in told
        assert SECRET not in told


@KIND
def test_what_is_wrong_with_a_destination_is_told_without_its_secrets(tmp_path, kind: Kind) -> None:
    told = load_and_explain(tmp_path, kind, "${TOKEN}", wrong=", nonsense: 1")
    assert "nonsense" in told
    assert SECRET not in told
