"""Changes of code that pages show are applied to the files that they name."""


def apply_diff(text: str, diff: str) -> str:
    """Replace the lines of a diff that begin with a space or "-", which must be in the text exactly once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"not exactly once in the file:\n{before}"
    return text.replace(before, after)
