"""A colorizer that films share."""

import pytest

from photochrom import Colorizer


@pytest.fixture(scope="module")
def colorizer(bundle):
    return Colorizer(bundle)
