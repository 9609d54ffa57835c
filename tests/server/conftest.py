"""Servers that the tests of a module share."""

import pytest

from servers import client_of, serve_in_thread


@pytest.fixture(scope="module")
def address(bundle, stochastic_bundle):
    """URL of a server with a deterministic and a stochastic model."""
    with serve_in_thread([bundle, stochastic_bundle]) as url:
        yield url


@pytest.fixture(scope="module")
def client(bundle, stochastic_bundle):
    """A client of the same models."""
    with client_of([bundle, stochastic_bundle]) as client:
        yield client
