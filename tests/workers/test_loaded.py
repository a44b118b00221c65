"""What a child of the supervisor makes of routes.yaml."""

import pytest

from gateway.cli.child import _Loaded
from gateway.cli.several import Settings, Setup

FILE = """version: 1
sources: {xobito: {preset: xobito, secret: a-secret-of-this-test}}
destinations: {crm: {url: "https://crm.example.com"}}
routes: [{name: to-crm, match: contact.created, to: crm}]
tests: [{name: of nothing, event: nothing.happened, expect: []}]
"""


@pytest.fixture
def setup(tmp_path):
    (tmp_path / "routes.yaml").write_text(FILE)
    settings = Settings(
        config=str(tmp_path / "routes.yaml"), store="", log_format="json", log_level="info", env_file=None, watch=False,
        migrate=False, workers=2,
    )  # fmt: skip
    return Setup(
        settings=settings, kind="worker", number=1, parent=0, listener=-1, link=-1, ingest="", admin="", was_ready=False
    )


def test_a_mistake_in_a_test_stops_no_worker_at_its_start_or_when_the_file_is_read_again(setup):
    loaded = _Loaded(setup)
    assert [warning.severity for warning in loaded.config.warnings if "nothing.happened" in warning.message] == [
        "warning"
    ]
    assert loaded.read().revision == loaded.config.revision
