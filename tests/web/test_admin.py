"""The admin listener as a whole: how it fails, and its OpenAPI document."""

import asyncio

import httpx
import pytest

from gateway.errors import StoreCorrupt
from tests.web.desk import HOST, Desk

PAGE, PROGRAM = {"accept": "text/html"}, {"accept": "application/json"}


class FailingDesk(Desk):
    """One whose store cannot count; what a handler lets through is answered, as the server does."""

    def __init__(self, folder, error: Exception) -> None:
        super().__init__(folder, "")
        self.error = error

    async def __aenter__(self) -> "FailingDesk":
        await super().__aenter__()
        self.store.stats = self.fail
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url=f"http://{HOST}"
        )
        return self

    async def fail(self):
        raise self.error


def asked(desk: Desk, path: str, headers: dict[str, str]) -> httpx.Response:
    async def scenario():
        async with desk:
            return await desk.client.get(path, headers=headers)

    return asyncio.run(scenario())


@pytest.mark.parametrize(("path", "headers"), [("/api/stats", PROGRAM), ("/", PROGRAM), ("/", PAGE)])
def test_a_defect_is_logged_with_its_traceback_and_shown_without_its_text(tmp_path, logged, path, headers):
    error = RuntimeError("something of a sender's")
    answer = asked(FailingDesk(tmp_path, error), path, headers)
    assert answer.status_code == 500
    assert "a defect of the gateway: RuntimeError; see its log" in answer.text
    assert str(error) not in answer.text
    assert ("internal.error", {"path": path, "exc_info": error}) in logged


@pytest.mark.parametrize(("path", "headers"), [("/api/stats", PROGRAM), ("/", PAGE)])
def test_a_store_that_is_damaged_is_no_defect(tmp_path, logged, path, headers):
    answer = asked(FailingDesk(tmp_path, StoreCorrupt("gateway.db is damaged")), path, headers)
    assert answer.status_code == 503
    assert "gateway.db is damaged" in answer.text
    assert logged == []


@pytest.mark.parametrize(
    ("path", "type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/console.css", "text/css; charset=utf-8"),
        ("/console.js", "text/javascript; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/api/stats", "application/json"),
    ],
)
def test_each_answer_says_once_what_it_is(tmp_path, path, type):
    assert asked(Desk(tmp_path, ""), path, PAGE).headers["content-type"] == type


def test_a_path_that_there_is_not_is_a_page_for_people_and_an_error_for_programs(tmp_path):
    page = asked(Desk(tmp_path, ""), "/nonsense/<b>", PAGE)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no page /nonsense/&lt;b&gt;" in page.text
    assert '<nav aria-label="Pages">' in page.text
    for path, headers in [("/nonsense", PROGRAM), ("/api/nonsense", PAGE)]:
        answer = asked(Desk(tmp_path, ""), path, headers)
        assert (answer.status_code, list(answer.json())) == (404, ["error"])


@pytest.mark.parametrize("path", ["/", "/nonsense"])
def test_a_page_of_another_name_for_this_host_learns_nothing_of_the_file_from_an_error(tmp_path, path):
    desk = Desk(tmp_path, "")
    known = asked(desk, "/nonsense", PAGE).text
    assert desk.config.revision in known
    answer = asked(Desk(tmp_path, ""), path, PAGE | {"host": "rebound.example"})
    assert answer.status_code in (403, 404)
    assert desk.config.revision not in answer.text
    assert "routes.yaml" not in answer.text
