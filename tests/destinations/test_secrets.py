"""What holds for every kind of destination: it leaks no secret."""

import pytest

from gateway.destinations import KINDS, Kind, Target
from gateway.errors import BuildError
from gateway.model import Json, Reply, Text
from tests.destinations.values import parts

SECRET = "s3cr3t-Sentinel"
KIND = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TARGET = Target(
    url=f"https://host/services/{SECRET}?key={SECRET}",
    path="events.ndjson",
    headers=(("x-api-key", SECRET),),
    auth=("authorization", f"Bearer {SECRET}"),
)


@KIND
def test_no_repr_shows_a_secret(kind: Kind) -> None:
    entry = parts(content=Text("hi"), headers=(("x-token", SECRET),), query=(("token", SECRET),))
    request = kind.build(TARGET, entry)
    assert SECRET not in f"{TARGET!r} {TARGET} {entry!r} {entry} {request!r} {request}"


@KIND
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"path": f"/{SECRET * 5_000}"}, id="path"),
        pytest.param({"query": (("key", SECRET * 5_000),)}, id="query"),
        pytest.param({"content": Json({SECRET: "\ud800"})}, id="json"),
        pytest.param({"content": Text(f"{SECRET}\ud800")}, id="text"),
    ],
)
def test_no_error_tells_a_secret(kind: Kind, wrong) -> None:
    try:
        kind.build(TARGET, parts(**{"content": Text("hi")} | wrong))
    except BuildError as error:
        assert SECRET not in f"{error} {error!r} {error.__cause__!r}"


@KIND
@pytest.mark.parametrize("status", [200, 204, 301, 302, 308, 401, 404, 429, 500])
def test_no_verdict_tells_where_a_redirect_led(kind: Kind, status: int) -> None:
    reply = Reply(status=status, headers={"location": f"https://host/{SECRET}", "retry-after": SECRET}, body=b"no")
    assert SECRET not in repr(kind.judge(reply, 0.0))


def test_every_kind_is_listed_under_its_own_name() -> None:
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
