import pytest

from few import FewNetworks, picture
from photochrom.evaluation.measure import Photograph, Row


@pytest.fixture
def networks():
    FewNetworks.calls = 0
    return FewNetworks()


@pytest.fixture
def photographs():
    return [Photograph(f"p{i}", i, lambda i=i: picture(i)) for i in range(70)]


@pytest.fixture
def faded():
    return Row("faded", "faded", lambda photograph, truth: [truth // 2 + 60, truth // 3 + 80])
