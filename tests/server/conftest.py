"""A server that the tests of a module share."""

import pytest

from servers import serve_in_thread


@pytest.fixture(scope="module")
def address(bundle, stochastic_bundle):
    """URL of a server with a deterministic and a stochastic model."""
    with serve_in_thread([bundle, stochastic_bundle]) as url:
        yield url
