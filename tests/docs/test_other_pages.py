"""The README and all pages of no other kind are carried out; what makes it possible can fail."""

import pytest

from page_session import run_page
from pages import parameters, runnable_pages

OTHERS = ("docs/tutorials/", "docs/how-to/", "docs/explanation/")  # have a module of their own, to run beside this one


@pytest.mark.parametrize("page", parameters(page for page in runnable_pages("") if not page.startswith(OTHERS)))
def test_page(page, workplace, template):
    run_page(page, workplace, template)
