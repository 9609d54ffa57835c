"""Small images of photos for the web page."""

import numpy as np
import pytest
import pyvips

from photochrom.imaging.photo import open_photo
from photochrom.server.worker import preview


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("width", "height"), [(640, 400), (1600, 200), (60, 40)])
def test_a_preview_is_upright_and_within_the_size(tmp_path, orientation, width, height):
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    image = pyvips.Image.new_from_array(np.tile(ramp, (height, 1))).copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    image.write_to_file(str(tmp_path / "photo.jpg"))
    photo = open_photo(tmp_path / "photo.jpg")
    small = pyvips.Image.new_from_buffer(preview(photo, 160), "")
    scale = min(1, 160 / max(width, height))
    assert (small.width, small.height) == (round(photo.width * scale), round(photo.height * scale))
    assert small.bands == 3
    expected = photo.resize(min(photo.width, photo.height), 1).mean() * 255
    assert small.numpy().mean() == pytest.approx(expected, abs=2)
    corner = small.numpy()[0, 0].mean()
    assert (corner < 40) == (orientation in (1, 6))


def test_a_preview_has_eight_bits_and_no_alpha(tmp_path):
    pixels_rgba = np.full((40, 60, 4), 30000, np.uint16)
    pyvips.Image.new_from_array(pixels_rgba, interpretation="rgb16").write_to_file(str(tmp_path / "deep.png"))
    small = pyvips.Image.new_from_buffer(preview(open_photo(tmp_path / "deep.png"), 50), "")
    assert (small.width, small.height, small.bands, small.format) == (50, 33, 3, "uchar")
    assert small.numpy().mean() == pytest.approx(30000 / 257, abs=2)


def test_a_preview_is_upright_where_xmp_alone_tells(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (40, 1))
    image = pyvips.Image.new_from_array(ramp).copy()
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    image.set_type(pyvips.GValue.blob_type, "xmp-data", packet)
    image.write_to_file(str(tmp_path / "photo.png"), keep="xmp")
    photo = open_photo(tmp_path / "photo.png")
    assert photo.orientation == 6
    small = pyvips.Image.new_from_buffer(preview(photo, 160), "")
    assert (small.width, small.height) == (40, 64)
    assert small.numpy()[0].mean() < 40
