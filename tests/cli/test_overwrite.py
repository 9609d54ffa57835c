"""Files that Photochrom did not make are never replaced."""

import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from photochrom import Colorizer, colorize_many
from photochrom.cli.main import app
from photochrom.imaging.errors import PhotoError


def colorize(*arguments, model, stdin=None):
    return CliRunner().invoke(app, ["colorize", *map(str, arguments), "--model", str(model)], input=stdin)


def with_pillow(image):
    """The bytes of a PNG with the pixels of an image alone."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("content", ["empty", "text", "photo", "stripped"])
@pytest.mark.parametrize("arguments", [[], ["--overwrite"], ["--dry-run"], ["--overwrite", "--dry-run"]])
def test_files_without_a_label_are_never_replaced(photos, stochastic_bundle, content, arguments):
    contents = {"empty": b"", "text": b"mine", "photo": (photos / "one.png").read_bytes()}
    contents["stripped"] = with_pillow(Image.open(io.BytesIO(Colorizer(stochastic_bundle)(contents["photo"]))))
    for output in (photos / "one-color.png", photos / "one-color-0-trace.jpg"):
        output.write_bytes(contents[content])
        extra = ["--trace"] if output.suffix == ".jpg" else []
        result = colorize(photos / "one.png", *extra, *arguments, model=stochastic_bundle)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{output}: exists and has no label of Photochrom, so it is never replaced; choose" in result.stderr
        assert "another model" not in result.stderr
        assert output.read_bytes() == contents[content]
        output.unlink()


def test_files_without_a_label_are_never_replaced_by_a_pipe_or_in_python(photos, bundle):
    before, scan = (photos / "two.jpg").read_bytes(), (photos / "one.png").read_bytes()
    result = colorize("-", "-o", photos / "two.jpg", "--overwrite", model=bundle, stdin=scan)
    assert (result.exit_code, "two.jpg: exists and has no label" in result.stderr) == (1, True)
    with pytest.raises(PhotoError, match=r"two.jpg: exists and has no label"):
        Colorizer(bundle)(scan, output=photos / "two.jpg", overwrite=True)
    (outcome,) = colorize_many(photos / "one.png", bundle, out=photos / "two.jpg", overwrite=True, jobs=1)
    assert outcome.status == "failed"
    assert (photos / "two.jpg").read_bytes() == before
