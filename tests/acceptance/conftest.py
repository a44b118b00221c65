import pytest

from tests.acceptance import stores
from tests.acceptance.harness import OF_PROCESSES

#: The long ones whose processes are not measured for coverage, which doubles what a process costs: what those run, the
#: processes of the other tests run too.
UNMEASURED = frozenset(
    {
        "test_delivery",
        "test_durability",
        "test_full_disk",
        "test_how_to",
        "test_in_time",
        "test_kill",
        "test_lookups",
        "test_mail_and_schema",
        "test_outbound",
        "test_cli_replay",
        "test_silence",
        "test_threads",
        "test_timing",
        "test_track",
    }
)


@pytest.fixture(scope="module", autouse=True)
def _measures_processes(request):
    with pytest.MonkeyPatch.context() as patch:
        if request.path.stem in UNMEASURED:
            patch.delenv(OF_PROCESSES, raising=False)
        yield


@pytest.fixture(scope="module", params=stores.KINDS)
def each_store(request):
    """The gateways of the test run on each kind of store in turn."""
    with stores.of_kind(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _store_of_the_test(request):
    """A test that does not ask for each store runs on a file, whatever those before it have left open."""
    kind = request.getfixturevalue("each_store") if "each_store" in request.fixturenames else stores.KINDS[0]
    with stores.meant(kind):
        yield
