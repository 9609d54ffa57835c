"""Settings of a photo in a file, as the web page saves them."""

import json

import pytest

from photochrom.inference.settings import read_settings

SAVED = {
    "photochrom": "0.1.0",
    "photo": {"name": "old.jpg", "width": 64, "height": 48},
    "model": "classify",
    "options": {"hints": ["5,5,#c03020"], "seed": 3, "saturation": 1.2, "warmth": -0.5, "page": 2},
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_settings_are_read(tmp_path):
    settings = read_settings(write(tmp_path / "old.jpg.json", SAVED))
    assert settings.model == "classify"
    assert settings.options == SAVED["options"]


def test_settings_may_begin_with_a_byte_order_mark(tmp_path):
    """As editors of Windows write it."""
    path = tmp_path / "old.jpg.json"
    path.write_text(json.dumps(SAVED), encoding="utf-8-sig")
    assert read_settings(path).options == SAVED["options"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{\n"saturation": 0,7}', r"line 2: is no JSON \(Expecting property name"),
        ({}, "has no settings that the web page of photochrom saved"),
        ([], "has no settings"),
        ({"model": "unet", "options": {}}, "has no settings"),
        (SAVED | {"model": 1}, "has no settings"),
        (SAVED | {"options": []}, "has no settings"),
        (SAVED | {"options": {"hue": 1}}, "unknown option 'hue'; choose from saturation, size"),
        (SAVED | {"options": {"saturation": 9}}, r"saturation 9: must be a number from 0 to 3"),
        (SAVED | {"options": {"hints": ["red"]}}, "hint 'red'"),
        (SAVED | {"options": {"hints": 5}}, "old.json: "),
        (SAVED | {"options": {"page": 0}}, "page 0: must be an integer of at least 1"),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    with pytest.raises(ValueError, match=reason):
        read_settings(write(tmp_path / "old.json", content))
    with pytest.raises(ValueError, match=r"none.json: cannot be read \(No such file or directory\)"):
        read_settings(tmp_path / "none.json")
