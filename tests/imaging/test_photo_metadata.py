"""Metadata: outputs keep that of the original, and name the model that colorized them."""

import io
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from PIL import Image, IptcImagePlugin, TiffImagePlugin

from photochrom import __version__
from photochrom.imaging import tiff
from photochrom.imaging.metadata import SOURCE_TYPE, Turn, xmp
from photochrom.imaging.notes import NO_ATTACHMENTS, Notes
from photochrom.imaging.photo import Colorized, Provenance, open_photo

PROVENANCE = Provenance("default", "1", 7)
SOFTWARE = f"Photochrom {__version__} (model default 1, seed 7)"
AB = np.full((2, 3, 3), 0.1, np.float32)
PACKET = b"""<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:mine="http://example.org/mine/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
 tiff:Orientation="6" mine:box="17"
 Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Gare de Ly\xc3\xb6n</rdf:li></rdf:Alt></dc:title></rdf:Description>
</rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
IIM = b"\x1c\x02\x05\x00\x04Gare\x1c\x02\x50\x00\x05Atget"
IPTC = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0" + len(IIM).to_bytes(4) + IIM
NS = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "mine": "http://example.org/mine/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "ext": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "own": "urn:photochrom:1.0:",
}


def encode_original(suffix, **options):
    """The bytes of a gray photo with every kind of metadata."""
    image = pyvips.Image.new_from_array(np.tile(np.arange(40, dtype=np.uint8), (24, 1))[..., None])
    image = image.copy(interpretation="b-w", xres=11.811, yres=11.811)  # 300 dots an inch
    image.set_type(pyvips.GValue.blob_type, "xmp-data", PACKET)
    if suffix != ".tif":  # libvips cuts it short there
        image.set_type(pyvips.GValue.blob_type, "iptc-data", IPTC)
    exif = {
        "ifd0-Artist": "Atget",
        "ifd0-DateTime": "1900:01:02 03:04:05",
        "ifd2-LensModel": "Petzval",
        "ifd0-Software": "Scan 3",
    }
    for name, value in exif.items():
        image.set_type(pyvips.GValue.gstr_type, f"exif-{name}", value)
    return image.write_to_buffer(suffix, **options)


def read_metadata(blob):
    """All metadata of a file, as libvips and Pillow read it."""
    image = pyvips.Image.new_from_buffer(blob, "")
    exif = Image.open(io.BytesIO(blob)).getexif()
    fields = {field: image.get(field) for field in image.get_fields()}
    fields["iptc"] = IptcImagePlugin.getiptcinfo(Image.open(io.BytesIO(blob)))
    return fields | {"resolution": (image.xres, image.yres), "exif": exif, "lens": exif.get_ifd(0x8769).get(0xA434)}


def xmp_packet(provenance, packet, orientation=1):
    """`packet` as it is in a copy of a photo of 40 x 24 pixels, and what is said of it."""
    notes = Notes()
    return xmp.corrected(packet, Turn(orientation, (40, 24)), provenance, "image/jpeg", notes), notes


def values(packet, name):
    root = ElementTree.fromstring(packet.strip(b"\0"))
    prefix, _, local = name.partition(":")
    key = f"{{{NS[prefix]}}}{local}"
    return [d.get(key) for d in root.iter(f"{{{NS['rdf']}}}Description") if d.get(key)] + [
        e.text for e in root.iter(key)
    ]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
@pytest.mark.parametrize("target", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_outputs_keep_metadata_and_add_provenance(suffix, target):
    before = read_metadata(encode_original(suffix))
    after = read_metadata(Colorized(open_photo(encode_original(suffix)), AB, PROVENANCE).to_bytes(target))
    packet = after["xmp-data"]
    assert values(packet, "ext:DigitalSourceType") == [SOURCE_TYPE]
    assert values(packet, "own:Model") == ["default"]
    assert values(packet, "own:Seed") == ["7"]
    assert values(packet, "ext:AISystemVersionUsed") == ["1"]
    assert values(packet, "mine:box") == ["17"]
    assert values(packet, "tiff:Orientation") == ["1"]
    assert "Gare de Ly\u00f6n" in packet.decode()
    assert after["exif"][305].rstrip("\0 ") == SOFTWARE
    if suffix != ".tif":
        assert after["exif"][315].rstrip("\0 ") == "Atget"
        assert after["exif"][306].rstrip("\0 ") == "1900:01:02 03:04:05"
        assert after["lens"].rstrip("\0 ") == "Petzval"
    if suffix == ".jpg" and target in (".jpg", ".tif"):
        assert after["iptc"][2, 80] == b"Atget"
    if suffix not in (".webp", ".avif") and target not in (".webp", ".avif"):
        assert after["resolution"] == pytest.approx(before["resolution"], rel=0.01)
    assert after["icc-profile-data"]
    assert "jpeg-thumbnail-data" not in after


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".avif"])
def test_outputs_are_recognized_without_decoding(suffix, monkeypatch):
    original = open_photo(encode_original(suffix))
    copy = Colorized(original, AB, PROVENANCE).to_bytes(suffix)
    monkeypatch.setattr(pyvips.Image, "numpy", lambda self: pytest.fail("decoded"))
    assert not original.is_colorized
    assert open_photo(copy).is_colorized
    assert open_photo(Image.open(io.BytesIO(copy))).is_colorized


def test_provenance_in_exif_alone_is_recognized():
    copy = pyvips.Image.new_from_buffer(
        Colorized(open_photo(encode_original(".jpg")), AB, PROVENANCE).to_bytes(".jpg"), ""
    ).copy()
    copy.remove("xmp-data")
    assert open_photo(copy.jpegsave_buffer()).is_colorized


@pytest.mark.parametrize("target", [".tif", ".jpg"])
@pytest.mark.parametrize("order", [b"II", b"MM"])
def test_outputs_keep_tiff_tags(order, target, tmp_path):
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {315: "Atget", 33432: "nobody", 270: "a station", 306: "1900:01:02 03:04:05"}.items():
        info[tag] = value
    info[34665] = {0xA434: "Petzval", 0x829A: TiffImagePlugin.IFDRational(1, 2), 0x8827: 100}
    info[33723] = IIM
    info[34853] = {1: "N", 2: (48.0, 50.0, 30.0)}
    buffer = io.BytesIO()
    gray = Image.fromarray(np.full((20, 30), 9000, np.uint16))
    if order == b"MM":
        gray = Image.frombytes("I;16B", gray.size, np.asarray(gray).astype(">u2").tobytes())
    gray.save(buffer, "TIFF", tiffinfo=info)
    assert buffer.getvalue()[:2] == order
    blob = Colorized(open_photo(buffer.getvalue()), AB, PROVENANCE).to_bytes(target)
    image = Image.open(io.BytesIO(blob))
    fields = image.getexif()
    texts = {315: "Atget", 33432: "nobody", 270: "a station", 306: "1900:01:02 03:04:05", 305: SOFTWARE}
    assert {tag: str(fields[tag]).rstrip("\0 ") for tag in texts} == texts
    inner = fields.get_ifd(0x8769)
    assert inner[0xA434].rstrip("\0 ") == "Petzval"
    assert float(inner[0x829A]) == 0.5
    assert inner[0x8827] == 100
    assert [float(x) for x in fields.get_ifd(0x8825)[2]] == [48, 50, 30]
    assert image.size == (30, 20)
    assert IptcImagePlugin.getiptcinfo(image)[2, 80] == b"Atget"
    path = tmp_path / "again.tif"
    path.write_bytes(blob)
    open_photo(path).gray(32)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"not xml",
        b"<x>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]><a/>",
        b"<?xml version='1.0' encoding='none'?><x/>",
        b"<?xml version='1.0' encoding='utf-7'?><x/>",
        PACKET + b"\0\0",
    ],
)
def test_provenance_replaces_an_earlier_one_in_any_packet(packet):
    once, notes = xmp_packet(PROVENANCE, packet)
    twice, no_notes = xmp_packet(Provenance("other", "2", 1), once)
    assert notes == ([] if packet in (b"", PACKET + b"\0\0") else ["XMP was left out: it is damaged or too large"])
    assert not no_notes
    assert values(twice, "own:Model") == ["other"]
    assert values(twice, "ext:DigitalSourceType") == [SOURCE_TYPE]


def test_a_packet_keeps_its_prefixes():
    packet, _ = xmp_packet(PROVENANCE, PACKET)
    assert b"mine:box" in packet
    assert b"dc:title" in packet


@pytest.mark.parametrize(
    "damage", [b"", b"II", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff" + b"\1" * 40]
)
def test_damaged_tags_are_ignored_and_counted(damage):
    tags = tiff.read_tags(io.BytesIO(damage))
    assert not any(tags[:4])
    assert tags.damaged


def test_the_gray_thumbnail_is_removed():
    small = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(small, "JPEG")
    exif = Image.Exif()
    exif[315] = "Atget"
    blob = io.BytesIO()
    Image.fromarray(np.full((32, 32), 99, np.uint8)).save(blob, "JPEG", exif=exif)
    image = pyvips.Image.new_from_buffer(blob.getvalue(), "").copy()
    image.set_type(pyvips.GValue.blob_type, "jpeg-thumbnail-data", small.getvalue())
    result = Colorized(open_photo(image.jpegsave_buffer()), AB, PROVENANCE).to_bytes(".jpg")
    assert not pyvips.Image.new_from_buffer(result, "").get_typeof("jpeg-thumbnail-data")


def tiff_with_two(tag, first, second, inner):
    """A TIFF whose directory, or that of its EXIF, has a tag twice, the shorter one first."""
    file = io.BytesIO(encode_original(".tif"))
    layout = tiff.Layout(file)
    entries = layout.read_entries(file, layout.first)
    texts = []
    for text in (first, second):
        file.seek(0, io.SEEK_END)
        texts.append((tag, tiff.ASCII, len(text), layout.pointer.pack(file.tell())))
        file.write(text + b"\0" * (len(text) % 2))
    if inner:
        place = layout.append_directory(file, {}, texts)
        texts = [(tiff.EXIF, tiff.LONG, 1, place)]
    entries = [entry for entry in entries if entry[0] not in (tag, tiff.EXIF)]
    pointer = layout.append_directory(file, {}, entries + texts)
    file.seek(4)
    file.write(pointer)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize(("tag", "inner"), [(270, False), (315, False), (36867, True)])
def test_of_a_tag_that_is_there_twice_the_first_is_kept(tag, inner, suffix):
    """`tifffile` writes two descriptions: the caption, and the shape of the array."""
    source = tiff_with_two(tag, b"A caption\0", b'a {"shape": [40, 40]}\0', inner)
    photo = open_photo(source)
    exif = Image.open(io.BytesIO(Colorized(photo, AB, PROVENANCE).to_bytes(suffix))).getexif()
    tags = exif.get_ifd(tiff.EXIF) if inner else exif
    assert tags[tag].rstrip("\0") == "A caption"
    assert "repeated tags of EXIF or TIFF were left out: the first of each was kept" in photo.reader.notes


@pytest.mark.parametrize(("left", "notes"), [(12, 0), (4, 1), (0, 1)])
def test_a_png_without_its_end_is_read_with_a_note(left, notes):
    blob = encode_original(".png")
    whole, cut = open_photo(blob), open_photo(blob[: len(blob) - 12 + left])
    assert (whole.pixels() == cut.pixels()).all()
    assert whole.reader.notes == []
    assert len(cut.reader.notes) == notes


def test_frames_of_a_png_are_left_out_with_a_note():
    file = io.BytesIO()
    frames = [Image.new("L", (40, 40), shade) for shade in (60, 90)]
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert open_photo(file.getvalue()).reader.notes == [NO_ATTACHMENTS]
