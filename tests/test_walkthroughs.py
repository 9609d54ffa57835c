"""Pages that explain how to extend Photochrom: their changes fit the code (tests/docs carries them out)."""

import pytest

from walkthroughs import apply_diff


def test_a_change_must_fit_the_file():
    text = "one\ntwo\ntwo\nthree\n"
    assert apply_diff(text, " one\n+and\n") == "one\nand\ntwo\ntwo\nthree\n"
    assert apply_diff(text, "-three\n+four\n") == "one\ntwo\ntwo\nfour\n"
    for diff in (" two\n+and\n", " five\n+and\n"):
        with pytest.raises(AssertionError, match="not exactly once"):
            apply_diff(text, diff)
