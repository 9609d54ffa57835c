"""Tutorials are carried out: every command and example works as it is written, and prints what the page shows."""

import pytest

from page_session import run_page
from pages import parameters, runnable_pages


@pytest.mark.parametrize("page", parameters(runnable_pages("docs/tutorials/")))
def test_tutorial(page, workplace, template):
    run_page(page, workplace, template)
