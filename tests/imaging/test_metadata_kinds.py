"""Metadata as it is in the wild: other places, other encodings, damage, and hostile packets."""

import io
import re
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
import pyvips
from PIL import Image, PngImagePlugin
from test_metadata_table import FORMATS, make_original, rationals, text

from photochrom.imaging import tiff
from photochrom.imaging.metadata import Metadata, Turn, exif, photoshop, pillow_info, read_metadata, xmp
from photochrom.imaging.metadata import packet as packet_module
from photochrom.imaging.metadata.density import CENTIMETER, INCH, METER, NO_UNIT, Density
from photochrom.imaging.metadata.geometry import Box
from photochrom.imaging.metadata.jpeg import jpeg_head
from photochrom.imaging.metadata.photoshop import Resource
from photochrom.imaging.notes import DAMAGED, NO_ATTACHMENTS, Notes
from photochrom.imaging.photo import Colorized, Provenance, open_photo

PROVENANCE = Provenance("default", "1", 7)
AB = np.full((2, 3, 3), 0.1, np.float32)
HEAD = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TIFF_NS = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'


def packet_of(attributes="", children=""):
    return f'{HEAD}<rdf:Description rdf:about="" {attributes}>{children}</rdf:Description></rdf:RDF></x:xmpmeta>'


def correct(packet, orientation=1, size=(40, 24)):
    """A packet as it is in a copy, and the notes."""
    notes = Notes()
    packet = packet if isinstance(packet, bytes) else packet.encode()
    return xmp.corrected(packet, Turn(orientation, size), PROVENANCE, "image/jpeg", notes).decode(), notes


def gray_jpeg(*segments, **options):
    """A JPEG of 40 x 24 pixels with segments (marker, body)."""
    pixels = pyvips.Image.new_from_array(np.tile(np.arange(40, dtype=np.uint8), (24, 1))[..., None])
    blob = pixels.copy(interpretation="b-w").jpegsave_buffer(keep=0, **options)
    parts = [b"\xff" + bytes([marker]) + (len(body) + 2).to_bytes(2) + body for marker, body in segments]
    return blob[:2] + b"".join(parts) + blob[2:]


def gray_png(*chunks):
    """A PNG of 40 x 24 pixels with chunks (kind, body)."""
    buffer = io.BytesIO()
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8), (24, 1))).save(buffer, "PNG")
    blob = buffer.getvalue()
    parts = [len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks]
    return blob[:33] + b"".join(parts) + blob[33:]


def xmp_segment(packet):
    return 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + (packet if isinstance(packet, bytes) else packet.encode())


def colorize(source, suffix=".jpg"):
    """The copy, and the notes."""
    photo = open_photo(source)
    return Colorized(photo, AB, PROVENANCE).to_bytes(suffix), photo.reader.notes


def exif_of(blob):
    return Image.open(io.BytesIO(blob)).getexif()


# Which way is up, and what turns with the pixels


@pytest.mark.parametrize(("in_exif", "in_xmp", "expected"), [(6, 3, 6), (1, 6, 1), (0, 6, 6), (None, 8, 8), (9, 0, 1)])
def test_exif_decides_which_way_is_up_else_xmp(in_exif, in_xmp, expected):
    block = Image.Exif()
    block[274] = in_exif or 0
    segments = [xmp_segment(packet_of(f'{TIFF_NS} tiff:Orientation="{in_xmp}"'))]
    segments += [(0xE1, b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0"))] if in_exif is not None else []
    photo = open_photo(gray_jpeg(*segments))
    assert photo.orientation == expected
    assert (photo.width, photo.height) == ((24, 40) if expected >= 5 else (40, 24))
    copy = Colorized(photo, AB, PROVENANCE).to_bytes()
    assert exif_of(copy).get(274, 1) == 1
    assert b'tiff:Orientation="1"' in copy


@pytest.mark.parametrize("orientation", range(1, 9))
def test_places_turn_like_the_pixels(orientation):
    stored = np.zeros((40, 60), np.uint8)
    stored[5:11, 12:30] = 255  # x 0.2 to 0.5, y 0.125 to 0.275
    upright = Image.fromarray(stored)
    upright.getexif()[274] = orientation
    buffer = io.BytesIO()
    upright.save(buffer, "PNG", exif=upright.getexif())
    rows, columns = np.nonzero(open_photo(buffer.getvalue()).pixels()[..., 0])
    height, width = open_photo(buffer.getvalue()).pixels().shape[:2]
    left, top, right, bottom = columns.min() / width, rows.min() / height, (columns.max() + 1) / width, 0
    bottom = (rows.max() + 1) / height
    center = (left + right) / 2, (top + bottom) / 2
    turn = Turn(orientation, (60, 40))
    box = turn.box(Box(0.35, 0.2, 0.3, 0.15))
    np.testing.assert_allclose(box, (*center, right - left, bottom - top))
    ns = 'xmlns:MPRI="u:i" xmlns:R="http://ns.microsoft.com/photo/1.2/t/Region#"'
    ns += ' xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/"'
    ns += ' xmlns:a="http://ns.adobe.com/xmp/sType/Area#"'
    children = '<MPRI:X R:Rectangle="0.2, 0.125, 0.3, 0.15"/>'
    children += '<e:RegionBoundary e:rbX="0.2" e:rbY="0.125" e:rbW="0.3" e:rbH="0.15"/>'
    children += '<m:Area a:x="0.35" a:y="0.2" a:w="0.3" a:h="0.15"/><m:Area><a:x>0.35</a:x><a:y>0.2</a:y></m:Area>'
    packet, _ = correct(packet_of(ns, children), orientation, (60, 40))

    def number(pattern):
        return [float(value) for value in re.search(pattern, packet).groups()]

    four = r'"([-.\d]+)"[^"]*' * 4
    rectangle = [float(value) for value in re.search('R:Rectangle="(.*?)"', packet)[1].split(",")]
    np.testing.assert_allclose(rectangle, (left, top, right - left, bottom - top), atol=1e-9)
    np.testing.assert_allclose(number("<e:RegionBoundary e:rbX=" + four), rectangle, atol=1e-9)
    np.testing.assert_allclose(number("<m:Area a:x=" + four), (*center, right - left, bottom - top), atol=1e-9)
    np.testing.assert_allclose(number(r"<a:x>(.*?)</a:x><a:y>(.*?)</a:y>"), center, atol=1e-9)
    area = struct.pack("<4H", 21, 8, 18, 6)
    tags = tiff.TagSets({}, {37396: (tiff.SHORT, area)}, {}, {})
    turned = struct.unpack("<4H", exif.corrected(tags, turn, PROVENANCE, Notes()).exif[37396][1])
    assert turned == (round(center[0] * width), round(center[1] * height), *((6, 18) if orientation > 4 else (18, 6)))


def test_regions_drawn_on_the_upright_image_stay():
    ns = 'xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:a="http://ns.adobe.com/xmp/sType/Area#"'
    dimensions = 'xmlns:d="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'
    for size, turned in (((40, 24), True), ((24, 40), False)):
        children = f'<m:AppliedToDimensions d:w="{size[0]}" d:h="{size[1]}"/><m:Area a:x="0.35" a:y="0.2"/>'
        packet, _ = correct(packet_of(f"{ns} {dimensions}", children), 6)
        assert 'd:w="24" d:h="40"' in packet
        assert ('a:x="0.8" a:y="0.35"' if turned else 'a:x="0.35" a:y="0.2"') in packet


# Resolution


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (Density(300, 300, INCH), (300, 300, INCH)),
        (Density(118, 118, CENTIMETER), (118, 118, CENTIMETER)),
        (Density(11811, 11811, METER), (300, 300, INCH)),
        (Density(600, 300, NO_UNIT), (600, 300, NO_UNIT)),
    ],
)
def test_resolution_without_meters(density, expected):
    x, y = map(Fraction, density[:2])
    assert Density(x, y, density.unit).without_meters() == expected


def test_no_resolution_is_invented():
    for blob in (gray_jpeg(), gray_png()):
        for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
            copy, _ = colorize(blob, suffix)
            info, tags = Image.open(io.BytesIO(copy)).info, exif_of(copy)
            assert not {282, 283, 296} & set(tags)
            assert suffix == ".jpg" or info.get("dpi", (1, 1)) == (1, 1)  # Pillow's word for a TIFF that states none
            assert suffix != ".jpg" or (info["jfif_unit"], info["jfif_density"]) == (0, (1, 1))


def test_a_resolution_without_a_unit_stays_so():
    blob = gray_jpeg((0xE0, b"JFIF\0\1\1\0\2\x58\1\x2c\0\0"))  # 600 x 300
    image = Image.open(io.BytesIO(colorize(blob)[0]))
    assert (image.info["jfif_unit"], image.info["jfif_density"]) == (0, (600, 300))
    tags = exif_of(colorize(blob, ".tif")[0])
    assert (tags[282], tags[283], tags[296]) == (600, 300, 1)
    assert b"pHYs\0\0\x02\x58\0\0\x01\x2c\0" in colorize(blob, ".png")[0]


def test_the_resolution_of_photoshop_turns_with_the_pixels():
    across, down = struct.pack(">IHH", 600 << 16, 1, 1), struct.pack(">IHH", 300 << 16, 1, 1)
    notes = Notes()
    resources = [Resource(b"8BIM", 1005, b"\0\0", across + down), Resource(b"8BIM", 2000, b"\0\0", b"path")]
    assert photoshop.corrected(resources, Turn(1, (40, 24)), notes) == resources
    (turned,) = photoshop.corrected(resources, Turn(6, (40, 24)), notes)
    assert turned.data == down + across
    assert notes == ["Photoshop's paths, guides and slices were left out, since the photo was turned"]


# Colors that are left aside

PRIMARIES = {"srgb": (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)}
PRIMARIES["p3"] = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def chrm(name):
    return b"cHRM", struct.pack(">8I", *PRIMARIES[name])


def left_aside(*names):
    return [f"the color space of the photo ({name}) was left aside: it was read as sRGB" for name in names]


def rgb_file(suffix, **options):
    """A file of 40 x 24 pixels in RGB."""
    buffer = io.BytesIO()
    ramp = Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 5, (24, 1))).convert("RGB")
    ramp.save(buffer, Image.registered_extensions()[suffix], **options)
    return buffer.getvalue()


def icc_profile(name="srgb"):
    return pyvips.Operation.call("profile_load", name)


@pytest.mark.parametrize(
    ("chunks", "in_gray", "in_color"),
    [
        ([(b"gAMA", (45455).to_bytes(4))], [], []),
        ([(b"gAMA", (100_000).to_bytes(4))], ["gAMA"], ["gAMA"]),
        ([(b"gAMA", (55_556).to_bytes(4))], ["gAMA"], ["gAMA"]),
        ([(b"gAMA", (55_556).to_bytes(4)), chrm("p3")], ["gAMA"], ["gAMA"]),
        ([(b"gAMA", (100_000).to_bytes(4)), chrm("p3"), (b"sRGB", b"\0")], [], []),
        ([(b"gAMA", (45455).to_bytes(4)), chrm("srgb")], [], []),
        ([(b"gAMA", (45455).to_bytes(4)), chrm("p3")], [], ["cHRM"]),
        ([chrm("p3")], [], ["cHRM"]),
        ([(b"cICP", bytes([1, 13, 0, 1]))], [], []),
        ([(b"cICP", bytes([12, 13, 0, 1]))], [], ["cICP"]),
        ([(b"cICP", bytes([9, 16, 0, 1]))], ["cICP"], ["cICP"]),
        ([(b"cICP", bytes([2, 2, 0, 1]))], [], []),
    ],
)
def test_colors_that_a_png_states_by_numbers_are_noted(chunks, in_gray, in_color):
    assert colorize(gray_png(*chunks))[1] == left_aside(*in_gray)
    color = rgb_file(".png")
    parts = [len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4) for kind, body in chunks]
    assert colorize(color[:33] + b"".join(parts) + color[33:])[1] == left_aside(*in_color)
    profile = rgb_file(".png", icc_profile=icc_profile("p3"))
    assert colorize(profile[:33] + b"".join(parts) + profile[33:])[1] == []


@pytest.mark.parametrize("chunks", [[(b"gAMA", b"")], [(b"cICP", b"")], [(b"cHRM", b"abc")]])
def test_damaged_numbers_of_colors_are_noted(chunks):
    assert colorize(gray_png(*chunks))[1] == [DAMAGED]


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
@pytest.mark.parametrize(
    ("codes", "names"), [((1, 13), []), ((2, 2), []), ((12, 13), ["nclx"]), ((9, 16), ["nclx"]), ((1, 8), ["nclx"])]
)
def test_colors_that_an_avif_or_heic_states_by_numbers_are_noted(suffix, codes, names):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    blob = rgb_file(suffix)
    start = blob.index(b"colrnclx") + 8
    coded = blob[:start] + struct.pack(">HH", *codes) + blob[start + 4 :]
    assert colorize(coded)[1] == left_aside(*names)


def test_adobe_rgb_without_a_profile_is_noted():
    def block(space, index="R03"):
        tags = tiff.TagSets({}, {tiff.COLOR_SPACE: tiff.short(space)}, {}, {1: text(index)})
        return b"Exif\0\0" + exif.pack_block(tags)

    adobe, adobe_note = block(0xFFFF), left_aside("Adobe RGB in EXIF")
    for suffix in (".jpg", ".png", ".webp", ".avif"):
        assert colorize(rgb_file(suffix, exif=adobe))[1] == adobe_note
        assert colorize(rgb_file(suffix, exif=adobe, icc_profile=icc_profile("p3")))[1] == []
        assert colorize(rgb_file(suffix, exif=block(1)))[1] == []
        assert colorize(rgb_file(suffix, exif=block(0xFFFF, "R98")))[1] == []
    assert colorize(gray_jpeg((0xE1, adobe)))[1] == []


@pytest.mark.parametrize("name", PRIMARIES)
def test_primaries_in_tags_of_tiff_are_noted(name):
    values = b"".join(struct.pack("<II", value, 100_000) for value in PRIMARIES[name])
    tags = {318: (tiff.RATIONAL, values[:16]), 319: (tiff.RATIONAL, values[16:])}
    file = io.BytesIO(rgb_file(".tif"))
    tiff.write_tags(file, tiff.TagSets(tags, {}, {}, {}))
    assert colorize(file.getvalue())[1] == (left_aside("primaries in TIFF tags") if name == "p3" else [])


def test_text_about_profiles_is_no_profile():
    assert colorize(gray_png((b"tEXt", b"Comment\0iCCP and cICP")))[1] == []


# Text


def test_text_of_png_keeps_its_bytes_and_kind():
    texts = [(b"tEXt", b"Creation Time\x001931"), (b"tEXt", b"Gr\xf6\xdfe\x0020 \xb5m"), (b"tEXt", b"no text at all")]
    texts += [(b"zTXt", b"Long\0\0" + zlib.compress(b"\xe4" * 900)), (b"zTXt", b"Broken\0\0nothing")]
    texts += [(b"iTXt", b"Title\0\1\0de\0Titel\0" + zlib.compress("Größe".encode()))]
    copy, _ = colorize(gray_png(*texts), ".png")
    for kind, body in texts:
        assert kind + body + zlib.crc32(kind + body).to_bytes(4) in copy
    copy, notes = colorize(gray_png(*texts))
    comments = [body for name, body in Image.open(io.BytesIO(copy)).applist if name == "COM"]
    assert "Größe: 20 µm".encode() in comments
    assert "Title: Größe".encode() in comments
    assert "text of PNG was left out: it is damaged or too large" in notes


def test_comments_stay_comments():
    blob = gray_jpeg((0xFE, b"Grandmother"), (0xFE, b"caf\xe9"))
    copy, _ = colorize(blob)
    assert b"\xff\xfe\0\x0dGrandmother\xff\xfe\0\x06caf\xe9" in copy
    assert b"tEXtComment\0caf\xe9" in colorize(blob, ".png")[0]
    copy, notes = colorize(blob, ".webp")
    assert exif_of(copy).get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "Grandmother\ncafé".encode("utf-16-le")
    assert not notes
    taken = Image.Exif()
    taken.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0mine"
    blob = gray_jpeg((0xE1, taken.tobytes()), (0xFE, b"Grandmother"))
    copy, notes = colorize(blob, ".avif")
    assert exif_of(copy).get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0mine"
    assert notes == ["comments were left out: AVIF has no place for one beside that of EXIF"]


def test_profiles_that_imagemagick_wrote_as_text_are_read():
    block = Image.Exif()
    block[274], block[315] = 6, "Atget"

    def raw(name, profile):
        text = f"\n{name}\n{len(profile):8}\n{profile.hex()}\n".encode()
        return b"zTXt", f"Raw profile type {name}".encode() + b"\0\0" + zlib.compress(text)

    resources = b"8BIM\4\4\0\0\0\0\0\x09\x1c\2\5\0\4Gare\0"
    chunks = [raw("exif", b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")), raw("iptc", resources)]
    chunks += [raw("xmp", packet_of('xmlns:a="u:a" a:b="17"').encode()), (b"tEXt", b"exif:Orientation\x006")]
    blob = gray_png(*chunks)
    photo = open_photo(blob)
    assert (photo.width, photo.height) == (24, 40)
    copy, notes = colorize(blob, ".png")
    assert not notes
    assert exif_of(copy)[315] == "Atget"
    assert b'a:b="17"' in copy
    assert b"eXIf" in copy
    assert copy.count(b"Raw profile") == 1  # IPTC has no other place in a PNG
    assert b"exif:Orientation" not in copy
    assert b"\x1c\2\5\0\4Gare" in colorize(blob)[0]


def test_a_profile_that_exiftool_wrote_as_text_is_read():
    resources = photoshop.pack_resources([Resource(b"8BIM", 1028, b"\0\0", dataset(2, 5, b"Gare"))])
    text = f"\nIPTC profile\n{len(resources):8}\n{resources.hex()}\n".encode()
    blob = gray_png((b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)))
    copy, notes = colorize(blob)
    assert dataset(2, 5, b"Gare") in copy
    assert b"Raw profile" not in copy
    assert not notes


def test_text_that_is_too_large_costs_no_time():
    bomb = zlib.compress(bytes(1 << 23), 9)
    texts = [(b"zTXt", b"Raw profile type exif\0\0" + bomb), (b"zTXt", b"Long\0\0" + bomb)] * 4
    copy, notes = colorize(gray_png(*texts))
    assert len(copy) < 1 << 25
    assert any("too large" in note for note in notes)


# XMP


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("head", ["", '<?xml version="1.0" encoding="UTF-16"?>', "\ufeff"])
def test_packets_of_any_encoding(encoding, head):
    if encoding.startswith("utf-8"):
        head = head.replace("UTF-16", "UTF-8")
    packet, notes = correct((head + packet_of('xmlns:a="u:a" a:b="Lyön"')).encode(encoding) + b"\0\0")
    assert 'a:b="Lyön"' in packet
    assert not notes


def hostile_packets():
    deep = packet_of("", "<a>" * 20_000 + "</a>" * 20_000)
    many = packet_of("", "<a/>" * 2000)
    return {
        "prefix xml": packet_of('xmlns:xml="urn:evil"'),
        "deep": deep,
        "many parts": many,
        "no UTF-8": packet_of('xmlns:a="u\xff" a:b="1"').encode("latin-1"),
        "entities": '<!DOCTYPE a [<!ENTITY b "c">]>' + packet_of("", "<a>&b;</a>"),
        "entities in UTF-16": ('<!DOCTYPE a [<!ENTITY b "c">]>' + packet_of("", "<a>&b;</a>")).encode("utf-16"),
        "large": packet_of("", "x" * (1 << 24)),
    }


@pytest.mark.parametrize("name", hostile_packets())
def test_a_bad_packet_gives_way_to_the_provenance(name, monkeypatch):
    monkeypatch.setattr(packet_module, "MAX_PARTS", 1000)
    bad = hostile_packets()[name]
    packet, notes = correct(bad)
    assert notes == ["XMP was left out: it is damaged or too large"]
    assert "urn:evil" not in packet
    chunk = b"XML:com.adobe.xmp\0\0\0\0\0" + (bad if isinstance(bad, bytes) else bad.encode())
    copy, notes = colorize(gray_png((b"iTXt", chunk)))
    assert open_photo(copy).is_colorized
    assert notes == ["XMP was left out: it is damaged or too large"]


def test_packets_do_not_depend_on_those_before():
    plain = packet_of('xmlns:mine="u:m" mine:b="1"', '<mine:c xml:lang="de">x</mine:c>')
    before, _ = correct(plain)
    for uri in ("u:m", "http://www.w3.org/XML/1998/namespace", "urn:photochrom:1.0:"):
        correct(packet_of(f'xmlns:leaked="{uri}" leaked:b="1"'))
        correct(packet_of(f'xmlns:mine="{uri}x" mine:b="1"'))
    assert correct(plain)[0] == before
    assert 'mine:c xml:lang="de"' in before


def test_equal_prefixes_of_different_namespaces_are_kept_apart():
    many = "".join(f'<a:b xmlns:a="u:{number}">{number}</a:b>' for number in range(2000))
    packet, notes = correct(packet_of("", many))
    assert not notes
    assert len(set(re.findall(r'xmlns:(\w+)="u:\d+"', packet))) == 2000


def test_a_packet_that_cannot_be_split_gives_way_in_jpeg_alone():
    blob = gray_png(
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet_of().replace('about=""', f'about="{"u" * 70_000}"').encode())
    )
    copy, notes = colorize(blob)
    assert notes == ["XMP was left out: it does not fit into a JPEG"]
    assert open_photo(copy).is_colorized
    assert colorize(blob, ".png")[1] == []


def test_incomplete_extended_xmp_is_noted():
    note = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="0123456789ABCDEF0123456789ABCDEF"'
    copy, notes = colorize(gray_jpeg(xmp_segment(packet_of(note + ' xmlns:a="u:a" a:b="17"'))))
    assert notes == ["extended XMP was left out: it is damaged or incomplete"]
    assert b"HasExtendedXMP" not in copy
    assert b'a:b="17"' in copy


def gray_file(suffix):
    """A file of 40 x 24 pixels in any format that is read."""
    ramp = np.tile(np.arange(40, dtype=np.uint8), (24, 1))
    if suffix == ".pgm":
        return b"P5 40 24 255\n" + ramp.tobytes()
    buffer = io.BytesIO()
    Image.fromarray(ramp).convert("RGB").save(buffer, Image.registered_extensions()[suffix])
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".gif", ".pgm", ".bmp"])
def test_data_after_the_photo_is_noted(suffix):
    blob = gray_file(suffix)
    assert colorize(blob)[1] == []
    for padding in (bytes(12), b"\n", b"\r\n" * 9, b" \0\t\n\0"):
        assert colorize(blob + padding)[1] == []
    for trailer in (b"\0\0\1\x98ftypmp42" + bytes(400) + b"SEFT", b"abc"):
        assert colorize(blob + trailer)[1] == [NO_ATTACHMENTS]


def test_boxes_of_videos_are_noted():
    blob = gray_file(".avif")
    assert colorize(blob + b"\0\0\0\x18mpvd" + bytes(16))[1] == [NO_ATTACHMENTS]
    assert colorize(blob + b"\0\0\0\x18free" + b"video free      ")[1] == []


def test_frames_of_a_png_are_noted():
    frames = [Image.fromarray(np.full((24, 40), gray, np.uint8)) for gray in (50, 90)]
    for count, notes in ((1, []), (2, [NO_ATTACHMENTS])):
        buffer = io.BytesIO()
        frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:count])
        assert colorize(buffer.getvalue())[1] == notes


def test_a_second_block_of_exif_or_xmp_is_noted():
    packets = [xmp_segment(packet_of(f'xmlns:a="u:a" a:b="{value}"')) for value in (1, 2)]
    blocks = [exif_segment(orientation=value) for value in (1, 6)]
    for first, second, note in (
        (*blocks, "a further block of EXIF was left out"),
        (*packets, "a further packet of XMP was left out"),
    ):
        assert colorize(gray_jpeg(first, first))[1] == []
        copy, notes = colorize(gray_jpeg(first, second, first))
        assert notes == [note]
        assert exif_of(copy).get(274, 1) == 1


def test_parts_of_other_programs_are_noted():
    webp = bytearray(gray_file(".webp") + b"ours\4\0\0\0data")
    webp[4:8] = (len(webp) - 8).to_bytes(4, "little")
    assert colorize(bytes(webp))[1] == ["WebP chunks of other programs were left out: ours"]
    gif = gray_file(".gif")[:-1] + b"!\xff\x0bICCRGBG1012\x04abcd\0" + b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0;"
    assert colorize(gif)[1] == ["GIF extensions of other programs were left out: ICCRGBG1012"]
    jp2 = gray_file(".jp2")
    end = jp2.index(b"jp2c") - 4
    jp2 = jp2[:end] + b"\0\0\0\x0cxml <a/>" + b"\0\0\0\x18uuid" + bytes(16) + jp2[end:]
    assert colorize(jp2)[1] == ["JPEG 2000 boxes of other programs were left out: uuid, xml"]


def test_comments_of_pnm_are_kept():
    gray = bytes(range(48))
    words = b" ".join(b"%d" % number for number in gray)
    texts = {b"P5": gray, b"P2": words, b"P4": bytes(6), b"P1": b"01" * 24, b"Pf": np.zeros(48, "<f4").tobytes()}
    for magic, pixels in texts.items():
        most = {b"P1": b"", b"P4": b"", b"Pf": b"-1.0\n"}.get(magic, b"255\n")
        head = magic + b"\n# Grandmother,\n#1931 \xe9\n8 #2 \r\n6\n" + most
        record = open_photo(head + pixels).reader.metadata
        assert record.comments == [b"Grandmother,\n1931 \xe9\n2"], magic
    plain = b"P2 # first\n8 6 255\n" + words.replace(b" 9 ", b" 9 # 4 more\n")
    photo = open_photo(plain)
    assert photo.reader.metadata.comments == [b"first\n4 more"]
    assert photo.pixels().ravel()[::3].tolist() == list(gray)
    assert open_photo(b"P1 2 2\n# 1 0\n1 0 0 1").reader.notes == []
    for suffix in (".jpg", ".png"):
        assert b"Grandmother,\n1931" in colorize(b"P5\n# Grandmother,\n# 1931\n8 6 255\n" + gray, suffix)[0]
    copy, notes = colorize(b"P5\n# Grandmother\n8 6 255\n" + gray, ".webp")
    assert exif_of(copy).get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0Grandmother"
    assert not notes
    assert open_photo(b"P5\n#\n# \n8 6 255\n" + gray).reader.metadata.comments == []


STRAY = [b"\xff\x01", b"\xff\xd0", b"\xff\xd7\xff\xd3", bytes(2), b"abc", b"\xff\0", b"\xff" * 5, bytes(5000)]


def exif_segment(**tags):
    block = Image.Exif()
    block[274] = tags.get("orientation", 6)
    return 0xE1, b"Exif\0\0" + block.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("stray", STRAY)
def test_stray_bytes_between_segments_of_a_jpeg_hide_nothing(stray):
    segments = [(0xFE, b"first"), exif_segment(), xmp_segment(packet_of('xmlns:a="u:a" a:b="17"')), (0xFE, b"last")]
    blob = gray_jpeg(*segments)
    for _, body in segments[1:]:
        place = blob.index(body) - 4
        blob = blob[:place] + stray + blob[place:]
    record = read_metadata(io.BytesIO(blob), "JPEG")
    assert (record.orientation, record.comments) == (6, [b"first", b"last"])
    assert b'a:b="17"' in record.packet
    photo = open_photo(blob)
    assert (photo.orientation, photo.reader.jpeg_quality) == (6, open_photo(gray_jpeg(*segments)).reader.jpeg_quality)


@pytest.mark.parametrize("damaged", [(0xE0, b"JFIF\0\1"), (0xE1, b"http://ns.adobe.com/xmp/extension/\0short")])
def test_a_damaged_segment_of_a_jpeg_costs_no_other(damaged):
    record = read_metadata(io.BytesIO(gray_jpeg(damaged, exif_segment(), (0xFE, b"kept"))), "JPEG")
    assert (record.orientation, record.comments, record.notes) == (6, [b"kept"], [DAMAGED])


def test_every_note_is_there_once():
    attachment = 0xE2, b"MPF\0II*\0"
    assert colorize(gray_jpeg(attachment, attachment) + b"a trailer")[1] == [NO_ATTACHMENTS]


def test_a_damaged_chunk_of_a_png_costs_no_other():
    exif_block = exif_segment()[1].removeprefix(b"Exif\0\0")
    record = read_metadata(io.BytesIO(gray_png((b"pHYs", b"ab"), (b"eXIf", exif_block))), "PNG")
    assert (record.orientation, record.notes) == (6, [DAMAGED])


def test_a_damaged_item_of_an_avif_costs_no_other():
    blob = Colorized(open_photo(gray_jpeg()), AB, PROVENANCE).to_bytes(".avif")
    location = blob.index(struct.pack(">I", blob.rindex(b"II*\0") - 4))
    too_long = blob[: location + 4] + b"\x7f" + blob[location + 5 :]
    record = read_metadata(io.BytesIO(too_long), "AVIF")
    assert record.provenance == PROVENANCE
    assert record.notes == [DAMAGED]


def test_bytes_after_the_end_of_a_png_are_no_chunks():
    assert read_metadata(io.BytesIO(gray_png() + b"\0\0\0\4trailing bytes"), "PNG").notes == [NO_ATTACHMENTS]


def test_segments_that_only_begin_like_those_of_the_encoding_are_noted():
    _, notes = colorize(gray_jpeg((0xEE, b"Adobe\0\x64" + bytes(5)), (0xED, b"Adobe_Photoshop2.5:8BIM")))
    assert notes == ["JPEG segments of other programs were left out: APP13"]


def test_the_same_photo_gives_the_same_bytes():
    blob = gray_png((b"eXIf", big_endian_block(100)), (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet_of().encode()))
    for suffix in (".jpg", ".png", ".tif", ".webp", ".avif"):
        assert colorize(blob, suffix) == colorize(blob, suffix)


def test_gif_brings_comments_and_xmp():
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 40), 99, np.uint8)).save(buffer, "GIF", comment=b"Grandmother, 1931")
    blob = buffer.getvalue()
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    packet = packet_of('xmlns:a="u:a" a:b="17"').encode()
    blob = blob[:-1] + b"!\xff\x0bXMP DataXMP" + packet + trailer + b";"
    copy, notes = colorize(blob, ".png")
    assert not notes
    assert b"tEXtComment\0Grandmother, 1931" in copy
    assert b'a:b="17"' in copy


@pytest.mark.parametrize("suffix", FORMATS)
def test_damage_anywhere_is_survived(suffix):
    blob, random = make_original(suffix), np.random.default_rng(0)
    for _ in range(8):
        damaged = bytearray(blob)
        for place in random.integers(2, min(len(blob), 6000), 5):
            damaged[place] = random.integers(256)
        record = read_metadata(io.BytesIO(damaged), FORMATS[suffix])
        copy = record.corrected(Turn(record.orientation, (40, 24)), PROVENANCE, "image/jpeg")
        assert jpeg_head(copy)(b"\xff\xd8\xff")
        assert copy.exif_block("WebP")


# EXIF


def big_endian_block(note_at, note=b"Canon-like" + bytes(range(40))):
    """A block in the order of Motorola whose maker note is at a place that its own offsets may need."""
    head = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIII", 1, 34665, 4, 1, 26, 0)
    inner = struct.pack(">HHHIIHHIII", 2, 37500, 7, len(note), note_at, 41986, 3, 1, 1 << 16, 0)
    return (head + inner).ljust(note_at, b"\0") + note


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif"])
def test_a_maker_note_keeps_place_and_byte_order(suffix):
    blob = gray_jpeg((0xE1, b"Exif\0\0" + big_endian_block(1000)))
    copy, notes = colorize(blob, suffix)
    start = copy.index(b"MM\0*")
    assert copy[start + 1000 :].startswith(b"Canon-like")
    assert exif_of(copy).get_ifd(0x8769)[41986] == 1
    assert not notes


def test_what_does_not_fit_into_a_jpeg_is_noted():
    info = Image.Exif()
    info[315], info[51000 - 1000], info[50001] = "Atget", b"\1" * 40_000, b"\2" * 39_000
    copy, notes = colorize(gray_png((b"eXIf", info.tobytes().removeprefix(b"Exif\0\0"))))
    assert exif_of(copy)[315] == "Atget"
    assert notes == ["tag 50000 of EXIF was left out: its 40000 bytes do not fit into the format"]
    assert exif_of(copy)[50001] == b"\2" * 39_000


def test_what_exif_repeats_does_not_replace_what_the_file_says():
    info = Image.Exif()
    info[700], info[33723], info[50706], info[50735] = b"12", b"\x1c\2\5\0\1x", b"\1\4\0\0", "serial"
    resources = (0xED, b"Photoshop 3.0\x008BIM\4\4\0\0\0\0\0\x09\x1c\2\5\0\4Gare\0")
    packet = packet_of('xmlns:a="u:a" a:b="17"')
    copy, notes = colorize(gray_jpeg((0xE1, info.tobytes()), resources, xmp_segment(packet)))
    assert b'a:b="17"' in copy
    assert copy.count(b"8BIM\4\4") == 1
    assert b"\x1c\2\5\0\4Gare" in copy
    assert exif_of(copy)[50735] == "serial"
    assert 50706 not in exif_of(copy)
    assert notes == ["camera raw data of the original were left out"]


def test_damaged_exif_is_kept_as_far_as_it_can_be_read():
    info = Image.Exif()
    info[271], info[315] = "a maker with a long name", "Atget"
    block = info.tobytes().removeprefix(b"Exif\0\0")
    block = block.replace(
        (len("a maker with a long name") + 1).to_bytes(4, (block[:2] == b"II" and "little") or "big"), b"\xff" * 4
    )
    copy, notes = colorize(gray_jpeg((0xE1, b"Exif\0\0" + block)))
    assert exif_of(copy)[315] == "Atget"
    assert notes == ["damaged or too large tags of EXIF or TIFF were left out"]


# What would be untrue of the copy


OLD_PIXELS = (326, 327, 328, 529, 530, 531, 532, 32995, 32996, 32997)


def test_what_describes_the_old_pixels_is_dropped():
    tags = tiff.TagSets({tag: tiff.short(3) for tag in OLD_PIXELS}, {37122: rationals(4)}, {}, {})
    copy = exif.corrected(tags, Turn(1, (40, 24)), PROVENANCE, Notes())
    assert not {*OLD_PIXELS, 37122} & {*copy.image, *copy.exif}
    pixels = pyvips.Image.black(40, 24).cast("float").copy(interpretation="b-w")
    file = io.BytesIO(pixels.tiffsave_buffer())
    tiff.write_tags(file, tiff.TagSets({32996: tiff.short(3)}, {}, {}, {}))
    output = colorize(file.getvalue(), ".tif")[0]
    assert pyvips.Image.new_from_buffer(output, "").format == "ushort"  # libtiff takes 32996 for SampleFormat
    ns = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:CompressedBitsPerPixel="4/1"'
    assert "CompressedBitsPerPixel" not in correct(packet_of(ns))[0]
    ns = 'xmlns:p="http://ns.adobe.com/photoshop/1.0/" p:LegacyIPTCDigest="0" p:EmbeddedXMPDigest="1"'
    ns += ' xmlns:x="http://ns.adobe.com/xap/1.0/"'
    packet, _ = correct(packet_of(ns, "<x:PageInfo>gray pages</x:PageInfo>"))
    assert not re.search("Digest|gray pages", packet)


DEVELOPED = (
    ('crs:ConvertToGrayscale="True"', ""),
    ('crs:Saturation="-100" crs:AlreadyApplied="False"', ""),
    ("", '<crs:Look><rdf:Description crs:ConvertToGrayscale="True"/></crs:Look>'),
    (
        "",
        "<crs:Look><rdf:Description><crs:Parameters><rdf:Description>"
        "<crs:ConvertToGrayscale>True</crs:ConvertToGrayscale>"
        "</rdf:Description></crs:Parameters></rdf:Description></crs:Look>",
    ),
    ('crs:HasCrop="True" crs:CropTop="0.1" crs:CropLeft="0.2"', ""),
    ("", '<crss:SavedSettings><rdf:Bag><rdf:li crs:Saturation="-100"/></rdf:Bag></crss:SavedSettings>'),
)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("attributes", "children"), DEVELOPED)
def test_a_raw_converter_does_not_develop_the_copy_like_the_original(attributes, children, orientation):
    ns = 'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'
    ns += ' xmlns:crss="http://ns.adobe.com/camera-raw-saved-settings/1.0/" dc:source="box 7"'
    packet, notes = correct(packet_of(f"{ns} {attributes}", children), orientation)
    assert "crs" not in packet
    assert 'dc:source="box 7"' in packet
    assert notes == ["develop settings of a raw converter were left out"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_panorama_that_is_turned_is_none(orientation):
    ns = 'xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"'
    ns += ' GPano:FullPanoWidthPixels="40" GPano:CroppedAreaImageWidthPixels="40"'
    packet, notes = correct(packet_of(ns, "<GPano:FullPanoHeightPixels>24</GPano:FullPanoHeightPixels>"), orientation)
    assert packet.count("GPano:") == (0 if orientation > 1 else 5)
    assert notes == (["data of a panorama were left out, since the photo was turned"] if orientation > 1 else [])


def test_a_copy_is_another_instance_of_the_document():
    ns = 'xmlns:m="http://ns.adobe.com/xap/1.0/mm/" m:InstanceID="xmp.iid:1" m:DocumentID="xmp.did:2"'
    packet, notes = correct(packet_of(ns, '<m:History><rdf:Seq><rdf:li m:action="saved"/></rdf:Seq></m:History>'))
    assert "InstanceID" not in packet
    assert 'm:DocumentID="xmp.did:2"' in packet
    assert "<m:History>" in packet
    assert not notes


@pytest.mark.parametrize(
    ("tag", "what"),
    [
        (50717, "camera raw data"),
        (52544, "camera raw data"),
        (50255, "layers"),
        (50839, "data of ImageJ"),
        (52545, "content credentials (C2PA)"),
        (50844, ""),
        (51123, ""),
        (52555, ""),
    ],
)
def test_what_is_left_out_of_exif_is_called_what_it_is(tag, what):
    notes = Notes()
    copy = exif.corrected(tiff.TagSets({tag: tiff.short(3)}, {}, {}, {}), Turn(1, (40, 24)), PROVENANCE, notes)
    assert (tag in copy.image) == (not what)
    assert notes == ([f"{what} of the original were left out"] if what else [])


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True)])
def test_the_resolution_of_the_focal_plane_turns_with_the_pixels(orientation, turned):
    tags = tiff.TagSets({}, {41486: rationals(600), 41487: rationals(300)}, {}, {})
    copy = exif.corrected(tags, Turn(orientation, (40, 24)), PROVENANCE, Notes()).exif
    assert [copy[41486], copy[41487]] == [rationals(number) for number in ((300, 600) if turned else (600, 300))]
    names = ("FocalPlaneXResolution", "FocalPlaneYResolution")
    ns = 'xmlns:e="http://ns.adobe.com/exif/1.0/" e:FocalPlaneXResolution="600/1" e:FocalPlaneYResolution="300/1"'
    packet, _ = correct(packet_of(ns), orientation)
    assert [re.search(f'{name}="(\\d+)/1"', packet)[1] for name in names] == (
        ["300", "600"] if turned else ["600", "300"]
    )


@pytest.mark.parametrize(("before", "after"), [("R03", "R98"), ("R98", "R98"), ("THM", "THM")])
def test_adobe_rgb_is_claimed_no_more(before, after):
    tags = tiff.TagSets({}, {}, {}, {1: text(before)})
    copy = exif.corrected(tags, Turn(1, (40, 24)), PROVENANCE, Notes())
    assert exif.read_text(copy.interoperability, 1) == after
    ns = f'xmlns:e="http://cipa.jp/exif/1.0/" e:InteroperabilityIndex="{before}"'
    assert f'InteroperabilityIndex="{after}"' in correct(packet_of(ns))[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["SubjectArea", "SubjectLocation"])
@pytest.mark.parametrize("values", [(10, 6), (10, 6, 4), (10, 6, 4, 2)])
def test_the_subject_turns_alike_in_exif_and_xmp(name, values, orientation):
    tag = {"SubjectArea": 37396, "SubjectLocation": 41492}[name]
    tags = tiff.TagSets({}, {tag: (tiff.SHORT, struct.pack(f"<{len(values)}H", *values))}, {}, {})
    turned = exif.corrected(tags, Turn(orientation, (40, 24)), PROVENANCE, Notes()).exif[tag][1]
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    ns = 'xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    packet, _ = correct(packet_of(ns, f"<exif:{name}><rdf:Seq>{items}</rdf:Seq></exif:{name}>"), orientation)
    found = [int(value) for value in re.findall("<rdf:li>(.*?)</rdf:li>", packet)]
    assert found == list(struct.unpack(f"<{len(values)}H", turned))


@pytest.mark.parametrize("value", ["", "no number", "nan", "inf", "1e999"])
def test_places_that_are_no_numbers_stay(value):
    ns = 'xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:d="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'
    ns += ' xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/"'
    children = f"<exif:SubjectArea><rdf:Seq><rdf:li>{value}</rdf:li><rdf:li>6</rdf:li></rdf:Seq></exif:SubjectArea>"
    children += f'<m:AppliedToDimensions d:w="{value}" d:h="24"/>'
    packet, notes = correct(packet_of(ns, children), 6)
    assert f"<rdf:li>{value}</rdf:li><rdf:li>6</rdf:li>" in packet
    assert f'd:w="{value}" d:h="24"' in packet
    assert not notes


def dataset(record, number, value, extended=False):
    length = b"\x80\4" + len(value).to_bytes(4) if extended else len(value).to_bytes(2)
    return bytes([0x1C, record, number]) + length + value


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("padding", [b"", b"\0\0\0"])
def test_iptc_of_the_old_pixels_is_dropped(extended, padding):
    number = dataset(3, 10, b"scanner 7, 1931")
    kept = (
        dataset(1, 130, b"1M") + dataset(2, 5, b"Gare", extended) + number,
        dataset(2, 120, b"\x1c\2\x82\0\2", extended),
    )
    untrue = [
        dataset(2, 130, b"1M"),
        dataset(2, 131, b"L"),
        dataset(2, 202, bytes(40_000 if extended else 400), extended),
    ]
    untrue += [dataset(2, 200, b"\0\1"), dataset(2, 201, b"\0\1"), dataset(1, 20, b"\0\1"), dataset(1, 22, b"\0\1")]
    untrue += [dataset(3, number, b"\0\x28") for number in (20, 30, 60, 65, 84, 85, 86, 102, 135, 145)]  # pixels
    untrue += [dataset(7, 90, b"\0\0\1\0"), dataset(8, 10, b"pixels"), dataset(9, 10, b"\0\0\1\0")]  # file
    records = [Resource(b"8BIM", 1028, b"\0\0", kept[0] + b"".join(untrue) + kept[1] + padding)]
    digest = Resource(b"8BIM", 1061, b"\0\0", bytes(16))
    copy = photoshop.corrected([digest, *records], Turn(1, (40, 24)), Notes())
    assert [(resource.number, resource.data) for resource in copy] == [(1028, b"".join(kept) + padding)]
    assert photoshop.corrected([digest, *copy], Turn(1, (40, 24)), Notes()) == [digest, *copy]


@pytest.mark.parametrize("end", [b"junk", b"\x1c\2", b"\x1c\2\5\0\7Gare", b"\x1c\2\5\x80\4\0\0"])
def test_iptc_that_cannot_be_walked_stays(end):
    records = [Resource(b"8BIM", 1028, b"\0\0", dataset(2, 130, b"1M") + end)]
    assert photoshop.corrected(records, Turn(1, (40, 24)), Notes()) == records


@pytest.mark.parametrize("blank", [b"", b"ASCII\0\0\0", b"UNICODE\0" + b" \0" * 9, bytes(264), b"JIS\0\0\0\0\0  "])
@pytest.mark.parametrize("suffix", [".tif", ".webp", ".avif"])
def test_a_blank_user_comment_gives_way_to_a_comment(blank, suffix):
    info = Image.Exif()
    info.get_ifd(0x8769)[0x9286] = blank
    copy, notes = colorize(gray_jpeg((0xE1, info.tobytes()), (0xFE, b"Grandmother")), suffix)
    assert exif_of(copy).get_ifd(0x8769)[0x9286] == b"ASCII\0\0\0Grandmother"
    assert not notes


@pytest.mark.parametrize(
    "uri", ["http://ns.google.com/photos/1.0/depthmap/", "http://ns.google.com/photos/dd/1.0/device/"]
)
def test_depth_of_any_namespace_is_dropped_with_a_note(uri):
    packet, notes = correct(packet_of(f'xmlns:D="{uri}" D:Container="1"'))
    assert "D:Container" not in packet
    assert notes == [NO_ATTACHMENTS]


# Pillow


@pytest.mark.parametrize("kind", ["HEIF", "JPEG2000"])
def test_formats_that_pillow_reads(kind):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    info = Image.Exif()
    info[315], info[18246] = "Atget", 4
    buffer = io.BytesIO()
    image = Image.fromarray(np.full((40, 64, 3), 99, np.uint8))
    packet = packet_of('xmlns:a="u:a" a:b="17"').encode()
    image.save(buffer, kind, **({"exif": info.tobytes(), "xmp": packet} if kind == "HEIF" else {}))
    blob = buffer.getvalue()
    if kind == "JPEG2000":
        for name, body in (
            (b"JpgTiffExif->JP2", info.tobytes()),
            (bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), packet),
        ):
            body = name + body.removeprefix(b"Exif\0\0")
            blob += (len(body) + 8).to_bytes(4) + b"uuid" + body
        end = blob.index(b"jp2c") - 4
        blob = blob[:end] + (len(buffer.getvalue()) - end).to_bytes(4) + blob[end + 4 :]
    copy, notes = colorize(blob, ".tif")
    assert (exif_of(copy)[315], exif_of(copy)[18246]) == ("Atget", 4)
    assert b'a:b="17"' in copy
    assert not notes


def test_pillow_images_bring_and_get_their_metadata():
    info = PngImagePlugin.PngInfo()
    info.add_text("Größe", "20 µm")
    info.add_itxt("Title", "Großmutter", "de")
    block = Image.Exif()
    block[315], block[274] = "Atget", 6
    buffer = io.BytesIO()
    Image.fromarray(np.full((24, 40), 99, np.uint8)).save(buffer, "PNG", pnginfo=info, exif=block, dpi=(300, 300))
    result = Colorized(open_photo(Image.open(io.BytesIO(buffer.getvalue()))), AB, PROVENANCE)
    image = result.pillow()
    assert image.size == (24, 40)
    assert image.info["Title"] == "Großmutter"
    assert [round(value) for value in image.info["dpi"]] == [300, 300]
    again = io.BytesIO()
    image.save(again, "WEBP", exif=image.info["exif"], xmp=image.info["xmp"])
    assert exif_of(again.getvalue())[315] == "Atget"
    assert exif_of(again.getvalue())[274] == 1
    assert open_photo(again.getvalue()).is_colorized
    assert b"tEXtGr\xf6\xdfe\x0020 \xb5m" in result.to_bytes(".png")


@pytest.mark.parametrize("has_own", [False, True])
def test_text_does_not_take_the_place_of_metadata_in_pillow(has_own):
    names = ("exif", "xmp", "dpi", "photoshop", "icc_profile", "transparency", "comment")
    record = (
        Metadata(resources=[Resource(b"8BIM", 1034, b"\0\0", b"\1")], comments=[b"mine"]) if has_own else Metadata()
    )
    record.density = Density(Fraction(300), Fraction(300), INCH) if has_own else None
    record.chunks = [(b"tEXt", name.encode() + b"\0text") for name in (*names, "Title")]
    found = pillow_info(record)
    assert found.pop("Title") == "text"
    assert found.pop("comment") == (b"mine" if has_own else "text")
    assert "text" not in found.values()
