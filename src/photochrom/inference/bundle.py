"""A trained model as files: ``model.json`` beside ``*.onnx``, in a folder or one ``.zip``; no pickle anywhere."""

import hashlib
import json
import shlex
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..core.color import GRAY_CONVENTIONS
from ..core.sampling import load_procedure
from ..core.sampling.procedure import Procedure

FORMAT = 1
CARD = "model.json"
INSTALLED = Path(__file__).parent / "bundles"
DEFAULT = "unet"  # the bundle that the name "default" stands for
LARGEST = 2**31 - 1  # bytes of one network: more cannot be written as ONNX
LARGEST_SIDE = 4096  # pixels at which a model sees a photograph


class BundleError(ValueError):
    """A bundle that is missing, damaged, or not for this version; the message says which, in one sentence."""


@dataclass(frozen=True)
class ModelCard:
    """What ``model.json`` says.

    ``procedure`` as `core.sampling.describe` gives it; ``networks`` maps each network to the sha256 of its file;
    ``size`` is the short side in pixels at which the model sees a photograph, ``multiple`` what its sides divide by;
    ``square``: it sees nothing but squares of that size, into which photographs are pressed. ``parameters`` names, for
    each network, the parameter of the trained model that each initializer of the graph holds, with ``.T`` after it
    where that is its transpose; `training.pretrained` reads it.
    """

    name: str
    family: str
    procedure: Mapping[str, Any]
    networks: Mapping[str, str]
    size: int
    gray: str = "lab"
    multiple: int = 32
    square: bool = False
    licence: str = "Apache-2.0"
    summary: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    version: str = ""
    format: int = FORMAT

    @property
    def weights(self) -> str:
        """Eight hexadecimal digits that tell these weights from any others of the same name."""
        return hashlib.sha256("".join(sorted(self.networks.values())).encode()).hexdigest()[:8]

    def inference_size(self, size: int | None = None) -> int:
        """Return the short side in pixels at which the model processes a photo: `size`, by default its own.

        Raises ValueError for a model that supports only its own size.
        """
        if self.square and size not in (None, self.size):
            raise ValueError(f"size {size}: {self.name} supports only {self.size} x {self.size} pixels")
        return size or self.size


@dataclass(frozen=True)
class Bundle:
    """A checked bundle: its card and the bytes of its networks."""

    card: ModelCard
    procedure: Procedure
    networks: Mapping[str, bytes]


def find(name: str | Path) -> Path:
    """Where a bundle lies: an installed name, ``default``, or a path to a folder or zip.

    Raises BundleError, naming the choices, when there is none.
    """
    known = INSTALLED / (DEFAULT if name == "default" else str(name))
    with suppress(OSError):  # a name that no file can have
        for path in (known, Path(name)):
            if (path / CARD).is_file() or zipfile.is_zipfile(path):
                return path
        if Path(name).exists():
            raise BundleError(_not_one(Path(name)))
    raise BundleError(f"no model {str(name)!r}: give the path of a bundle or one of {', '.join(installed())}")


def _not_one(path: Path) -> str:
    """What is wrong with what is there and no bundle."""
    if not (path / "recipe.json").is_file():
        return f"{path}: holds no {CARD}: a bundle is a folder or a zip that does"
    made = min(path.glob(f"bundle/*/{CARD}"), default=None)
    fix = (
        f"give its bundle, {made.parent}"
        if made
        else f"photochrom export {shlex.quote(str(path))} makes a bundle of it"
    )
    return f"{path}: is a run of a training: {fix}"


def installed() -> list[str]:
    """Names of the bundles inside the package."""
    return sorted(card.parent.name for card in INSTALLED.glob(f"*/{CARD}"))


def read_card(path: Path) -> ModelCard:
    """The card of a bundle, without its networks. Raises BundleError."""
    try:
        said = json.loads(_read(path, CARD))
    except (ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: {CARD} is damaged ({error}): fetch or export the bundle again") from None
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise BundleError(f"{path}: {CARD} names no format: this is not a photochrom bundle")
    if said["format"] > FORMAT:
        raise BundleError(
            f"{path}: bundle format {said['format']}, this version reads up to {FORMAT}: upgrade photochrom"
        )
    for key, right in ENTRIES.items():
        if key in said and not right(said[key]):
            raise BundleError(f"{path}: {key} = {said[key]!r} is not what a bundle has: export it again")
    try:
        return ModelCard(**{f.name: said[f.name] for f in fields(ModelCard) if f.name in said})
    except TypeError as error:
        raise BundleError(f"{path}: {CARD} is incomplete ({error}): export the bundle again") from None


def _is_side(value: Any) -> bool:
    return isinstance(value, int) and 0 < value <= LARGEST_SIDE


ENTRIES: dict[str, Callable[[Any], bool]] = {  # those that the engine acts on
    "gray": lambda value: value in GRAY_CONVENTIONS,
    "size": _is_side,
    "multiple": _is_side,
    "square": lambda value: isinstance(value, bool),
    "procedure": lambda value: isinstance(value, dict),
    "networks": lambda value: isinstance(value, dict) and all(isinstance(d, str) for d in value.values()),
    "scores": lambda value: isinstance(value, dict),
    "parameters": lambda value: isinstance(value, dict) and all(isinstance(names, dict) for names in value.values()),
}


def load(name: str | Path) -> Bundle:
    """Open a bundle and check each file against the digest on its card. Raises BundleError."""
    path = find(name)
    card = read_card(path)
    networks = {network: _read(path, f"{network}.onnx") for network in card.networks}
    for network, content in networks.items():
        if hashlib.sha256(content).hexdigest() != card.networks[network]:
            raise BundleError(f"{path}: {network}.onnx is not the file its digest names: fetch or export it again")
    try:
        procedure = load_procedure(card.procedure)
    except ValueError as error:
        raise BundleError(f"{path}: {error}: upgrade photochrom") from None
    if missing := set(procedure.network_names) - set(networks):
        raise BundleError(f"{path}: {card.procedure['kind']} needs the network {', '.join(missing)}: export it again")
    return Bundle(card, procedure, networks)


def save(path: Path, card: ModelCard, networks: Mapping[str, bytes]) -> ModelCard:
    """Write a bundle as a folder, whole or not at all; gives the card with its digests filled in.

    Raises FileExistsError when the folder is there already.
    """
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in networks.items()}
    card = ModelCard(**{**asdict(card), "networks": digests})
    if path.exists():
        raise FileExistsError(f"{path} exists: name another folder or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.mkdir()
        for name, content in networks.items():
            (part / f"{name}.onnx").write_bytes(content)
        (part / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n")
        part.rename(path)
    return card


def record(path: Path, protocol: str, scores: Mapping[str, Any]) -> None:
    """Write the scores that a protocol gave into the card of a bundle's folder, over any that it gave before.

    Raises BundleError for a zip.
    """
    if not path.is_dir():
        raise BundleError(f"{path}: a zip is not written to: unpack it first")
    card = read_card(path)
    changed = replace(card, scores={**card.scores, protocol: dict(scores)})
    beside = path / f".{CARD}"
    beside.write_text(json.dumps(asdict(changed), indent=2) + "\n")
    beside.replace(path / CARD)


def cards() -> Iterator[tuple[str, ModelCard]]:
    """Name and card of each installed bundle."""
    for name in installed():
        yield name, read_card(INSTALLED / name)


def _read(path: Path, file: str) -> bytes:
    try:
        if path.is_dir():
            if (path / file).stat().st_size > LARGEST:
                raise BundleError(f"{path}: {file} is larger than {LARGEST >> 20} MB: this is not a photochrom bundle")
            return (path / file).read_bytes()
        with zipfile.ZipFile(path) as archive:
            inside = next((i for i in archive.infolist() if Path(i.filename).name == file), None)
            if inside is None or inside.file_size > LARGEST:
                raise BundleError(f"{path}: {file} is missing or too large: this is not a photochrom bundle")
            return archive.read(inside)
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise BundleError(f"{path}: {file} cannot be read ({error})") from None
