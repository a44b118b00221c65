import pytest

from tests.egress.diverted import diverted_connections, scripted_names

names = pytest.fixture(scripted_names, name="names")
diverted = pytest.fixture(diverted_connections, name="diverted")
