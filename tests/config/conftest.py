"""What tests of the configuration are given."""

import pytest

from tests.config.given import loader


@pytest.fixture
def loaded(tmp_path):
    return loader(tmp_path)
