import pytest

from tests.acceptance import stores


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
