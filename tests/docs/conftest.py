"""The folder in which a page is carried out."""

import shutil

import pytest

from workplaces import create_workplace


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A folder with everything that pages name, which no page changes."""
    return create_workplace(tmp_path_factory.mktemp("template") / "photochrom")


@pytest.fixture
def workplace(template, tmp_path):
    """A copy of it for one page."""
    return shutil.copytree(template, tmp_path / "photochrom", symlinks=True)
