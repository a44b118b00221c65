import pytest

from tests.acceptance import stores


@pytest.fixture(scope="module", params=stores.KINDS)
def each_store(request):
    """The gateways of the test run on each kind of store in turn."""
    with stores.of_kind(request.param):
        yield request.param
