"""The model card of a bundle: Markdown from its ``model.json``, and a picture of photos that the model colorizes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
from jaxtyping import Float, UInt8

from ..core.color import lab_to_rgb, rgb_to_lab
from ..imaging.photo import Photo, open_photo
from .bundle import ModelCard
from .colorizer import Colorizer
from .contact_sheet import GAP

PICTURE = "examples.jpg"  # beside the Markdown
SIDE = 192  # of each example, in pixels
USES = {
    "photos": "Colorizing black-and-white photos for looking at them.",
    "study": "Studying and comparing methods. It is too weak for old photos: choose another model for those.",
}
NOT_FOR = (
    "Colors are plausible guesses, not facts: do not use them as evidence of the color that something had. Keep the "
    "label that names each output as colorized by a model."
)
TERMS = (
    "The license is that of the weights and the code. The training photos come under the terms of their sources, which "
    "may restrict commercial use."
)

Pixels = UInt8[np.ndarray, "h w 3"]


def markdown(card: ModelCard, sizes: Mapping[str, int], picture: str = "", source: str = "") -> str:
    """Return the model card as Markdown.

    Args:
        card: the content of ``model.json``.
        sizes: bytes of each network.
        picture: address of the picture that `draw_examples` returns; none without it.
        source: what `--model` takes for this model; its name by default.
    """
    source = source or card.name
    sections = {
        "Use": f"{USES[card.use]} {NOT_FOR}\n\n```sh\nphotochrom colorize old.jpg --model {source}\n```",
        "Limits": _line(card.limitations) or "None are recorded.",
        "Examples": _describe_picture(picture),
        "Training data": _describe_data(card.data),
        "Measurements": _describe_scores(card.scores),
        "Training cost": _describe_training(card.training),
        "Networks": _table(
            ("network", "MB", "sha256"),
            [
                (name, f"{sizes[name] / 1e6:.1f}", f"`{_line(digest)}`")
                for name, digest in sorted(card.networks.items())
            ],
        ),
    }
    facts = {
        "family": _line(card.family),
        "sampling": _line(_describe_settings(card.procedure)),
        "inference size": f"{card.size} px" + (", squares only" if card.square else ", the short side"),
        "license": _line(card.licence),
        "made with": f"Photochrom {_line(card.version)}" if card.version else "",
    }
    lines = [
        f"# {_line(card.name)}",
        _line(card.summary),
        _table(("", ""), [(key, value) for key, value in facts.items() if value]),
    ]
    lines += [f"## {title}\n\n{text}" for title, text in sections.items() if text]
    return "\n\n".join(line for line in lines if line) + "\n"


def front_matter(card: ModelCard) -> str:
    """Return the metadata that the Hugging Face hub reads at the top of a model card (YAML; JSON is YAML)."""
    entries = {
        "license": card.licence.lower(),
        "library_name": "photochrom",
        "pipeline_tag": "image-to-image",
        "tags": ["colorization", "photochrom", "onnx", card.family],
    }
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in entries.items()) + "---\n\n"


def draw_examples(colorizer: Colorizer, photos: Mapping[str, Path | bytes]) -> bytes:
    """Return a JPEG of color photos, from the smallest ab error of the model to the largest, so that failures show.

    Its rows are the input (the square in the middle of each photo, in grayscale), the output and the ground truth.
    ``photos``: what `open_photo` takes, by the names that errors give. Raises PhotoError for a photo that cannot be
    read, ValueError for none.
    """
    if not photos:
        raise ValueError("examples: no photos; name color photos or a folder of them")
    truths = [_middle_square(open_photo(photo, name=name)) for name, photo in photos.items()]
    inputs = [_to_grayscale(truth) for truth in truths]
    outputs = [colorizer(truth) for truth in truths]  # of a color photo, a model sees the lightness alone
    errors = [_ab_error(output, truth) for output, truth in zip(outputs, truths, strict=True)]
    order = np.argsort(errors, kind="stable")
    rows = [images[position] for images in (inputs, outputs, truths) for position in order]
    tiles = [pyvips.Image.new_from_array(np.ascontiguousarray(pixels)) for pixels in rows]
    joined = pyvips.Image.arrayjoin(tiles, across=len(photos), shim=GAP, background=[255, 255, 255])
    return joined.copy(interpretation="srgb").write_to_buffer(".jpg", Q=80, keep="none")


def _middle_square(photo: Photo) -> Pixels:
    pixels = np.rint(photo.resize(SIDE, multiple=1).transpose(1, 2, 0) * 255).astype(np.uint8)
    height, width, _ = pixels.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]


def _to_grayscale(pixels: Pixels) -> Pixels:
    """Return pixels of the same lightness without color."""
    lab = rgb_to_lab(_planes(pixels))
    gray = lab_to_rgb(np.concatenate([lab[:1], np.zeros_like(lab[1:])]))
    return np.rint(np.moveaxis(gray, 0, -1).clip(0, 1) * 255).astype(np.uint8)


def _planes(pixels: Pixels) -> Float[np.ndarray, "3 h w"]:
    return np.moveaxis(pixels, -1, 0).astype(np.float32) / 255


def _ab_error(output: Pixels, truth: Pixels) -> float:
    """Return the mean distance in the ab plane, in Lab units."""
    difference = rgb_to_lab(_planes(output))[1:] - rgb_to_lab(_planes(truth))[1:]
    return float(np.hypot(*difference).mean())


def _describe_picture(picture: str) -> str:
    if not picture:
        return ""
    caption = "Input, output and ground truth of color photos that were converted to grayscale"
    return f"![{caption}]({picture})\n\n*{caption}, from the smallest error on the left to the largest.*"


def _describe_data(data: Mapping[str, Any]) -> str:
    if not data:
        return "Not recorded."
    lines = [_line(data.get("sources") or "The sources are not recorded."), TERMS]
    counts = {"training": "photos", "validation": "held out for validation", "digest": "sha256 of the list of photos"}
    rows = [(label, _value(data[key])) for key, label in counts.items() if key in data]
    return "\n\n".join([*lines, _table(("", ""), rows)] if rows else lines)


def _describe_scores(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table for each protocol; texts among the scores say how they were measured."""
    parts = []
    for protocol, values in scores.items():
        numbers = [(metric, f"{value:.5g}") for metric, value in values.items() if isinstance(value, int | float)]
        command = f": `{_line(values['command'])}`" if "command" in values else ""
        parts.append(f"Protocol `{_line(protocol)}`{command}\n\n{_table(('metric', 'value'), numbers)}")
    return "\n\n".join(parts) or "None are recorded: `photochrom evaluate --record` adds them."


def _describe_training(training: Mapping[str, Any]) -> str:
    seconds, images = training.get("seconds"), training.get("images_seen")
    texts = [
        _describe_seconds(seconds) if isinstance(seconds, int | float) else "",
        f"{images:,} training images" if isinstance(images, int) else "",
        _line(training.get("device", "")),
    ]
    return (", ".join(text for text in texts if text) or "Not recorded") + "."


def _describe_seconds(seconds: float) -> str:
    amount, unit = (seconds / 3600, "hours") if seconds >= 7200 else (seconds / 60, "minutes")
    return f"{seconds:,.0f} s" + (f" ({amount:.3g} {unit})" if seconds >= 120 else "")


def _describe_settings(procedure: Mapping[str, Any]) -> str:
    settings = [f"{key} {value}" for key, value in procedure.items() if isinstance(value, str | int | float)]
    return ", ".join(settings).removeprefix("kind ")


def _value(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"`{_line(value)}`"


def _line(text: Any) -> str:
    """Return a text of a card as one line without control characters, HTML or the bars of tables."""
    plain = "".join(character if character.isprintable() else " " for character in str(text))
    return " ".join(plain.split()).replace("|", "\\|").replace("<", "&lt;")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
