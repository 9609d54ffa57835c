"""A trained model as files: ``model.json`` beside ``*.onnx``, in a folder or one ``.zip``; no pickle anywhere."""

import hashlib
import importlib.util
import json
import re
import shlex
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from .._install import MODELS, install_models
from ..core.color import GRAY_CONVENTIONS
from ..core.sampling import load_procedure
from ..core.sampling.procedure import Procedure
from ..imaging.atomic import atomic_write

FORMAT = 1
CARD = "model.json"
INSTALLED = Path(__file__).parent / "bundles"
DEFAULT = "unet"  # the bundle that the name "default" stands for
ENTRY_POINTS = "photochrom.bundles"  # the group in which other packages offer bundles
AGAIN = "download or export the bundle again"
HUB = "hf://"  # begins an address of the Hugging Face hub
USES = ("photos", "study")  # a model for study is kept for comparison; it is too weak for old photos
MAX_NETWORK_BYTES = 2**31 - 1  # ONNX files cannot be larger
MAX_CARD_BYTES = 16 << 20
MAX_SIZE = 4096  # inference size in pixels; more than `--size` allows, since a recipe may have more


class BundleError(ValueError):
    """A bundle that is missing, damaged, or not for this version; the message says which."""


@dataclass(frozen=True)
class ModelCard:
    """The content of ``model.json``."""

    name: str  # of the model, which outputs carry in their metadata
    family: str  # model family that it was trained with
    procedure: Mapping[str, Any]  # how the networks colorize, see `core.sampling.describe`
    networks: Mapping[str, str]  # the sha256 of each ONNX file, by its name without suffix
    size: int  # inference size, the short side in pixels at which the model processes a photo
    gray: str = "lab"  # see `core.color.rgb_to_gray`
    multiple: int = 32  # number that divides both sides of the images that the networks take
    square: bool = False  # it processes only squares of its inference size
    licence: str = "Apache-2.0"  # of the weights, as an SPDX identifier
    summary: str = ""  # description in a sentence, which `photochrom models` shows
    use: str = "photos"  # what it is good enough for: photos, or study
    limitations: str = ""  # what it does badly, in sentences
    recipe: Mapping[str, Any] = field(default_factory=dict)  # the complete recipe
    data: Mapping[str, Any] = field(default_factory=dict)  # record of the training images
    # Steps, images seen (with repetitions), seconds and device.
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)  # by evaluation protocol
    # For each network, the torch parameter of each graph initializer, with `.T` after the name if it is transposed; see
    # `training.pretrained`.
    parameters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    version: str = ""  # of Photochrom, which wrote the bundle
    format: int = FORMAT  # version of this format

    @property
    def weights(self) -> str:
        """Eight hexadecimal digits that identify the weights."""
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
    """A checked bundle: card, procedure and the bytes of each network."""

    card: ModelCard
    procedure: Procedure
    networks: Mapping[str, bytes]


def find(name: str | Path) -> Path:
    """Return the folder or zip of an installed model, of ``default``, at a path, or at an address of the Hugging Face
    hub (``hf://owner/name``), from which it is downloaded at first use. Raises BundleError.
    """
    if is_hub_address(name):
        from .hub import fetch

        return fetch(str(name))
    path = Path(name)
    own = INSTALLED / (DEFAULT if str(name) == "default" else path)
    if _is_bundle(own):
        return own
    models = installed()
    if str(name) in models:
        return models[str(name)]
    if _is_bundle(path):
        return path
    with suppress(OSError):  # a name that no file can have
        if path.exists():
            raise BundleError(_explain_invalid(path))
    choices = ", ".join(["default", *models])
    if path.name != str(name) or path.suffix == ".zip":
        raise BundleError(f"{name}: there is no such file or folder; give the path of a bundle or one of {choices}")
    more = "" if MODELS in model_packages() else f"; the package {MODELS} has more ({install_models()})"
    from difflib import get_close_matches

    similar = get_close_matches(str(name), models, n=1)
    advice = f"did you mean {similar[0]}? Give" if similar else "give"
    raise BundleError(f"no model {str(name)!r}: {advice} the path of a bundle or one of {choices}{more}")


def is_hub_address(name: str | Path) -> bool:
    """Return whether the name of a model is an address of the Hugging Face hub; see `inference.hub`."""
    return str(name).startswith(HUB)


def _is_bundle(path: Path) -> bool:
    """Return whether a path is a folder or a zip with a model card; False for a path that no file can have."""
    try:
        if not zipfile.is_zipfile(path):
            return (path / CARD).is_file()
        with zipfile.ZipFile(path) as archive:
            return any(Path(name).name == CARD for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _explain_invalid(path: Path) -> str:
    if not (path / "recipe.json").is_file():
        return f"{path}: contains no {CARD}; a bundle is a folder or a zip that does"
    card = min(path.glob(f"bundle/*/{CARD}"), default=None)
    if card is not None:
        return f"{path}: is a training run; give its bundle, {card.parent}"
    return f"{path}: is a training run; export it first: photochrom export {shlex.quote(str(path))}"


def installed() -> dict[str, Path]:
    """Return the bundle of each installed model by its name: those inside this package, then those of other packages.

    Where two packages have a model of one name, the first in alphabetical order counts.
    """
    models: dict[str, Path] = {}
    folders = [INSTALLED, *(folder for _, folders in sorted(model_packages().items()) for folder in folders)]
    for folder in filter(Path.is_dir, folders):
        bundles = {path.name.removesuffix(".zip"): path for path in folder.iterdir() if _is_bundle(path)}
        for name in sorted(bundles):
            models.setdefault(name, bundles[name])
    return models


def model_packages() -> dict[str, list[Path]]:
    """Return the folders of each installed distribution that offers bundles, by its name; none for one without them.

    It offers the bundles (folders or zips) in the folder of a top-level package of its own, which an entry point of the
    group `ENTRY_POINTS` names. No code of it is run.
    """
    from importlib.metadata import entry_points  # slow to import, and the default model needs none

    packages: dict[str, list[Path]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        # A name with dots is left out: to find it would run the code of the package around it.
        spec = importlib.util.find_spec(point.value) if point.value.isidentifier() else None
        folders = packages.setdefault(point.dist.name if point.dist else point.name, [])
        folders += [Path(place) for place in (spec and spec.submodule_search_locations) or []]
    return packages


def installed_for_photos() -> list[str]:
    """Return the names of the installed models that are meant for photos; one that cannot be read is not among them."""
    names = []
    for name, path in installed().items():
        with suppress(BundleError):
            card, procedure = read_description(path)
            if card.use == "photos" and procedure.capabilities.colorizes:
                names.append(name)
    return names


def _is_valid(key: str, value: Any) -> bool:
    """Check an entry that inference depends on; by hand, since inference does without pydantic."""
    match key:
        case "gray":
            return value in GRAY_CONVENTIONS
        case "use":
            return value in USES
        case "name" | "family" | "licence" | "summary" | "limitations" | "version":
            return isinstance(value, str) and value.isprintable()
        case "size" | "multiple":
            return isinstance(value, int) and 0 < value <= MAX_SIZE
        case "square":
            return isinstance(value, bool)
        case "networks":  # names become those of files
            names = isinstance(value, dict) and all(re.fullmatch(r"[\w-]+", name) for name in value)
            return names and all(isinstance(digest, str) for digest in value.values())
        case "parameters" | "scores":
            return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())
        case "procedure" | "training" | "data":
            return isinstance(value, dict)
    return True


def read_card(path: Path) -> ModelCard:
    """Return the card of a bundle, without its networks. Raises BundleError."""
    content = _read(path, CARD, MAX_CARD_BYTES)
    try:
        entries = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {CARD} is damaged ({error}); {AGAIN}") from None
    if not isinstance(entries, dict) or not isinstance(entries.get("format"), int):
        raise BundleError(f"{path}: {CARD} has no format; this is not a Photochrom bundle")
    if entries["format"] > FORMAT:
        raise BundleError(f"{path}: bundle format {entries['format']} is newer than {FORMAT}; upgrade photochrom")
    for key, value in entries.items():
        if not _is_valid(key, value):
            raise BundleError(f"{path}: invalid {key} = {value!r}; export the bundle again")
    try:
        return ModelCard(**{f.name: entries[f.name] for f in fields(ModelCard) if f.name in entries})
    except TypeError as error:
        raise BundleError(f"{path}: {CARD} is incomplete ({error}); export the bundle again") from None


def read_description(name: str | Path) -> tuple[ModelCard, Procedure]:
    """Return the card and the procedure of a bundle, without its networks. Raises BundleError."""
    path = find(name)
    with _errors_of(name, path):
        return _describe(path)


def _describe(path: Path) -> tuple[ModelCard, Procedure]:
    card = read_card(path)
    try:
        return card, load_procedure(card.procedure)
    except ValueError as error:
        raise BundleError(f"{path}: {error}; upgrade photochrom") from None


def load(name: str | Path) -> Bundle:
    """Return a bundle after checking each file against the digest on its card. Raises BundleError."""
    path = find(name)
    with _errors_of(name, path):
        card, procedure = _describe(path)
        networks = {}
        for network, digest in card.networks.items():
            content = _read(path, f"{network}.onnx")
            if hashlib.sha256(content).hexdigest() != digest:
                raise BundleError(f"{path}: {network}.onnx does not match its digest; {AGAIN}")
            networks[network] = content
        missing = set(procedure.capabilities.network_names) - set(networks)
        if missing:
            kind = card.procedure["kind"]
            raise BundleError(f"{path}: {kind} needs the network {', '.join(missing)}; export it again")
    return Bundle(card, procedure, networks)


@contextmanager
def _errors_of(name: str | Path, path: Path) -> Iterator[None]:
    """Name the address of a bundle of the hub, and not its place on this machine, and how to download it again."""
    try:
        yield
    except BundleError as error:
        if not is_hub_address(name):
            raise
        reason = str(error).replace(str(path), str(name)).removesuffix(f"; {AGAIN}")
        raise BundleError(f"{reason}; to download it again: photochrom models pull {name}") from None


def encode_card(card: ModelCard) -> bytes:
    """Return the content of ``model.json``."""
    return (json.dumps(asdict(card), indent=2) + "\n").encode()


def write_card(folder: Path, card: ModelCard) -> None:
    """Write the card of a bundle in a folder, over the one before. Raises WriteError."""
    with atomic_write(folder / CARD, overwrite=True) as file:
        file.write(encode_card(card))


def _read(path: Path, name: str, limit: int = MAX_NETWORK_BYTES) -> bytes:
    try:
        if path.is_dir():
            if (path / name).stat().st_size <= limit:
                return (path / name).read_bytes()
        else:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    if Path(member.filename).name == name and member.file_size <= limit:
                        return archive.read(member)
        raise BundleError(f"{path}: {name} is missing or too large; not a Photochrom bundle")
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise BundleError(f"{path}: {name} cannot be read ({reason})") from None
