"""`photochrom evaluate`: photographs, models and folders of pictures brought together with what measures them."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..backbones.inception import VARIABLE
from ..backbones.weights import cache
from ..core.sampling import describe
from ..core.sampling.procedure import Net
from ..imaging.errors import printable
from ..imaging.photo import open_photo
from ..imaging.sources import SourceImage, find_images, is_held_out, source_title
from ..inference import bundle
from ..inference.colorizer import Colorizer
from ..inference.contact_sheet import sheet
from ..inference.onnx import SeededNoise
from . import protocols
from .cost import operations, parameters
from .features import Networks
from .measure import RGB8, Columns, Photograph, Row, Survey, baselines, measure, survey
from .page import Sheets
from .report import BASELINES, Report, compared, figures, headline

NAMED = 5  # names in a message before it only counts
RANDOM, EXTREME = 24, 8  # photographs on a contact sheet
COLORLESS = 0.5  # mean chroma in Lab units below which a picture is gray
TRIAL = 3  # times a photograph is coloured to learn how long it takes
# A process of its own, so that neither torch nor other models are in its memory.
RUN = """
import json, sys, time
from pathlib import Path
from photochrom.inference.colorizer import Colorizer
from photochrom.imaging.photo import open_photo
model, sampling, times, size = json.loads(sys.argv[1])
photo = open_photo(sys.stdin.buffer.read()).pixels()
colorizer, taken = Colorizer(model, **sampling), []
for _ in range(times):
    start = time.perf_counter()
    colorizer(photo, size=size)
    taken.append(time.perf_counter() - start)
status = Path("/proc/self/status")
peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024 if status.exists() else None
print(json.dumps({"ms a photo": min(taken) * 1000, **({"peak MB": peak} if peak else {})}))
"""


@dataclass(frozen=True)
class Request:
    """What is asked for; see the command's help."""

    data: Sequence[Path]
    models: Sequence[str] = ()
    sampling: Sequence[Mapping[str, int | float | str]] = ({},)
    images: Sequence[Path] = ()
    protocol: str = "native"
    lists: Path | None = None
    size: int | None = None
    saturation: float = 1.0
    seed: int = 0
    samples: int = 1
    force: bool = False
    held_out: float = 1.0
    pictures: bool = False
    record: bool = False
    overwrite: bool = False
    command: str = ""


@dataclass(frozen=True)
class Found:
    """A report, the shares of colour bins by row, contact sheets, and the photographs that could not be read."""

    report: Report
    histograms: Mapping[str, np.ndarray]
    sheets: Sheets
    unread: Mapping[str, str]


@dataclass(frozen=True)
class Entry:
    """A model that is measured, sampled in one way; ``model`` as it was asked for, ``name`` as its row is called."""

    name: str
    model: str
    sampling: Mapping[str, int | float | str]
    colorizer: Colorizer


def _operations(networks: Mapping[str, bytes], colorizer: Colorizer, side: int) -> int:
    """Of all the passes that make the colours of a square photograph."""
    passes = Counter[tuple[Any, ...]]()

    def counting(name: str) -> Net:
        def net(**inputs: np.ndarray | float) -> np.ndarray:
            shapes = {key: array.shape for key, array in colorizer.nets[name].feeds(**inputs).items()}
            passes[name, *sorted(shapes.items())] += 1
            made: np.ndarray = colorizer.nets[name](**inputs)
            return made

        return net

    gray = np.zeros((1, 1, side, side), np.float32)
    colorizer.procedure({name: counting(name) for name in networks}, gray, SeededNoise([0]))
    return sum(times * operations(networks[name], dict(shapes)) for (name, *shapes), times in passes.items())


def _entries(model: str, sampling: Sequence[Mapping[str, int | float | str]]) -> Iterator[Entry]:
    """A model in each way of sampling that differs for it, told what of the way it can be told."""
    plain, done = Colorizer(model, threads=1), []
    for way in sampling:
        told = plain.procedure.applicable_options(way)
        if told not in done:
            done.append(told)
            colorizer = Colorizer(model, threads=1, **told) if told else plain
            yield Entry(" ".join([plain.card.name, *map(str, told.values())]), model, told, colorizer)


class Evaluation:
    """One evaluation: prepared (which refuses what cannot be done), then run.

    ``watch`` is told how many photographs have been looked at, before any is measured.

    Raises ValueError, ModuleNotFoundError or FileNotFoundError with a sentence.
    """

    def __init__(self, request: Request, watch: Callable[[int], None] = lambda done: None) -> None:
        self.request, self.protocol, self.watch = request, protocols.named(request.protocol), watch
        self._recordable()
        self.warnings: list[str] = []
        self.unread: dict[str, str] = {}
        self.store = cache() / "evaluate"
        everything = _photographs(request.data, request.held_out)
        self.photographs = self._chosen(everything, self.protocol.names)
        self.reference = self._chosen(everything, self.protocol.reference) if self.protocol.reference else []
        if not self.photographs:
            raise ValueError(f"{', '.join(map(str, request.data))}: no photographs to measure on")
        self._counted(len(self.photographs))
        if strangers := self.protocol.strangers(p.name for p in self.photographs):
            self._unlike(f"{_some(strangers)} not of protocol {self.protocol.name}, which goes by the numbers of names")
        inception = self.protocol.inception or ("fid" if os.environ.get(VARIABLE) else None)
        self.networks = Networks(self.protocol.perceptual, inception)
        self.warnings += self.networks.missing
        self.entries = [entry for name in request.models for entry in _entries(name, request.sampling)]
        if unknown := {key for way in request.sampling for key in way} - {k for e in self.entries for k in e.sampling}:
            raise ValueError(
                f"{_some([f'--{name}' for name in sorted(unknown)])} what none of these models can be told"
            )
        self.rows = _distinct([*self._models(), *(self._images(folder) for folder in request.images)])

    def _chosen(self, photographs: Sequence[Photograph], listing: protocols.Listing | None) -> list[Photograph]:
        if listing is None:
            return list(photographs)
        names = protocols.read(listing, self.request.lists)
        known = {Path(p.name).name: p for p in photographs}
        if missing := [name for name in names if name not in known]:
            raise ValueError(f"{listing.file}: {_some(missing)} not among the photographs given")
        return [known[name] for name in names]

    def _recordable(self) -> None:
        asked = self.request
        if asked.record and (asked.saturation != 1 or asked.size or asked.force or any(asked.sampling)):
            raise ValueError(
                "--record keeps a model's figures as it comes: leave out --saturation, --size, --force, all of sampling"
            )
        for name in asked.models if asked.record else ():
            if not os.access(path := bundle.find(name), os.W_OK) or not path.is_dir():
                raise ValueError(f"{path}: no folder that can be written to, so nothing can be recorded there")
            if self.protocol.name in bundle.read_card(path).scores and not asked.overwrite:
                raise ValueError(f"{path}: has figures of protocol {self.protocol.name}; --overwrite replaces them")

    def _counted(self, n: int, why: str = "") -> None:
        wanted = self.protocol.n
        if wanted is None or n == wanted:
            return
        self._unlike(f"protocol {self.protocol.name} is defined on {wanted:,} photographs, not on {n:,}{why}")

    def _unlike(self, said: str) -> None:
        if not self.request.force:
            raise ValueError(f"{said}: give those, or --force to measure these all the same")
        self.warnings.append(f"{said}: not to be compared with published scores")

    def _models(self) -> Iterator[Row]:
        asked = self.request
        seeds = range(asked.seed, asked.seed + asked.samples)
        for entry in self.entries:
            card, colorizer = entry.colorizer.card, entry.colorizer
            seen = (card.gray, card.multiple, card.size, asked.size)
            decides = (card.weights, describe(colorizer.procedure), *seen, asked.saturation, list(seeds))

            def paint(photograph: Photograph, truth: RGB8, colorizer: Colorizer = colorizer) -> list[RGB8]:
                return [colorizer(truth, seed=s, saturation=asked.saturation, size=asked.size) for s in seeds]

            def own(truth: RGB8, colorizer: Colorizer = colorizer) -> dict[str, float]:
                return {"bits-per-dim": colorizer.bits_per_dim(truth, asked.size)} if colorizer.has_likelihood else {}

            yield Row(entry.name, f"model {json.dumps(decides, sort_keys=True)}", paint, own)

    def _images(self, folder: Path) -> Row:
        """A folder of pictures made elsewhere, one for each photograph, matched by name without ending."""
        found = find_images(folder)
        pictures = {str(Path(m.name).with_suffix("")): m for m in found}
        if not set(pictures) & {p.name for p in self.photographs}:  # laid out otherwise: then by the last name alone
            pictures = {Path(name).name: m for name, m in pictures.items()}
            names = [Path(p.name).name for p in self.photographs]
        else:
            names = [p.name for p in self.photographs]
        if len(set(names)) < len(names) or len(pictures) < len(found):
            raise ValueError(f"{folder}: several photographs or pictures have one name: keep them in the same folders")
        if missing := [name for name in names if name not in pictures]:
            raise ValueError(f"{folder}: {_some(missing)} missing")
        if extra := sorted(set(pictures) - set(names)):
            raise ValueError(f"{folder}: {_some(extra)} not among the photographs")
        own = {p.name: pictures[name] for p, name in zip(self.photographs, names, strict=True)}
        key = hashlib.sha256(repr(sorted((name, m.crc) for name, m in own.items())).encode()).hexdigest()
        return Row(folder.name, f"images {key}", lambda photograph, truth: [_pixels(own[photograph.name])])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Runs: gives how many of how many photographs are done; `found` then holds what was found."""
        seen = survey(self.photographs, self.protocol, self.store, self.unread, self.watch)
        read = [p for p in self.photographs if p.name not in self.unread]
        if self.unread:
            self.warnings.append(f"{_some(sorted(self.unread))} left out: cannot be measured")
            self._counted(len(read), "".join(f"; {reason}" for reason in list(self.unread.values())[:NAMED]))
        rows = [*baselines(seen), *self.rows]
        total = len(read) + len(self.reference)
        tables: Mapping[str, Columns] = {}
        for done, tables in measure(read, rows, self.protocol, self.networks, seen, self.store):  # noqa: B007
            yield done, total
        reference = None
        for done, columns in self._referred():
            yield len(read) + done, total
            reference = columns
        self.found = self._found(read, rows, tables, reference, seen)

    def _referred(self) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
        if not self.reference:
            return
        failed: dict[str, str] = {}
        seen = survey(self.reference, self.protocol, self.store, failed, self.watch)
        if failed:
            raise ValueError(f"{_some(sorted(failed))} in the reference and cannot be measured")
        truth = [row for row in baselines(seen) if row.name == "truth"]
        for done, tables in measure(self.reference, truth, self.protocol, self.networks, seen, self.store):
            yield done, tables.get("truth", {})

    def _found(
        self,
        photographs: Sequence[Photograph],
        rows: Sequence[Row],
        tables: Mapping[str, Columns],
        reference: Mapping[str, np.ndarray] | None,
        seen: Survey,
    ) -> Found:
        colored = tables["truth"]["chroma"] >= COLORLESS
        if plain := [p.name for p, c in zip(photographs, colored, strict=True) if not c]:
            self.warnings.append(f"{_some(plain)} gray in truth")
        for row in self.rows:
            lost = colored & (tables[row.name]["chroma"] < COLORLESS)
            if gray := [p.name for p, c in zip(photographs, lost, strict=True) if c]:
                self.warnings.append(f"{row.name}: {_some(gray)} gray")
        measured = figures(tables, reference, self.request.force, self.warnings)
        if len(photographs) == 1:
            self.warnings.append("one photograph only: no intervals, no comparison, no distance between sets")
        report = Report(
            self.protocol,
            len(photographs),
            {"sources": [printable(source_title(p)) for p in self.request.data], "digest": seen.digest},
            measured,
            compared(tables),
            self.warnings,
            self.request.command,
            __version__,
            {row: self._cost(row, name, photographs[0]) for row, name in self._named().items()},
        )
        histograms = {name: columns["bins"].mean(0) for name, columns in tables.items()}
        sheets = self._sheets(photographs, rows, tables) if self.request.pictures else []
        return Found(report, histograms, sheets, self.unread)

    def record(self) -> None:
        """Write the figures of each model into its own card, under the name of the protocol."""
        for row, entry in self._named().items():
            report, name = self.found.report, entry.model
            scores = {
                m: float(f"{report.rows[row][m].value:.5g}") for m in headline(report.rows) if m in report.rows[row]
            }
            where = {"n": report.n, "photographs": report.data["digest"][:16], "command": report.command}
            bundle.record(bundle.find(name), self.protocol.name, {**where, **scores})

    def _named(self) -> dict[str, "Entry"]:
        return dict(zip((row.name for row in self.rows), self.entries, strict=False))

    def _cost(self, row: str, entry: "Entry", photograph: Photograph) -> dict[str, float]:
        try:
            return self._counted_cost(entry, photograph)
        except Exception as error:  # nothing of it is worth losing the figures for
            self.warnings.append(f"{row}: what it takes to run is not known ({error})")
            return {}

    def _counted_cost(self, entry: "Entry", photograph: Photograph) -> dict[str, float]:
        import pyvips

        truth = self.protocol.prepare(photograph.read())
        written = pyvips.Image.new_from_array(truth).write_to_buffer(".png")
        asked = json.dumps([entry.model, entry.sampling, TRIAL, self.request.size])
        done = subprocess.run([sys.executable, "-c", RUN, asked], input=written, capture_output=True, check=True)
        networks = bundle.load(entry.model).networks
        multiple = entry.colorizer.card.multiple
        side = max(1, round(entry.colorizer.side(self.request.size) / multiple)) * multiple
        return {
            "parameters M": parameters(networks.values()) / 1e6,
            f"GFLOPs a photo at {side} px": _operations(networks, entry.colorizer, side) / 1e9,
            **json.loads(done.stdout),
        }

    def _sheets(
        self, photographs: Sequence[Photograph], rows: Sequence[Row], tables: Mapping[str, Columns]
    ) -> list[tuple[str, bytes]]:
        """Random photographs, and those each model does best and worst on, by ab error over that of gray."""
        if not self.rows:
            return []
        beside = [rows[0], *self.rows, rows[2]]
        order = ", ".join(row.name for row in beside)

        def pictures(places: Sequence[int]) -> bytes:
            truths = ((photographs[i], self.protocol.prepare(photographs[i].read())) for i in places)
            return sheet([self.protocol.prepare(row.paint(p, truth)[0]) for row in beside] for p, truth in truths)

        chosen = np.random.default_rng(0).permutation(len(photographs))[:RANDOM].tolist()
        made = [(f"{len(chosen)} at random: {order}", pictures(chosen))]
        for row in self.rows:
            worth = np.argsort(tables[row.name]["ab-error"] / np.maximum(tables["gray"]["ab-error"], 1)).tolist()
            made += [
                (f"{row.name}, best: {order}", pictures(worth[:EXTREME])),
                (f"{row.name}, worst: {order}", pictures(worth[::-1][:EXTREME])),
            ]
        return made


def _photographs(sources: Sequence[Path], share: float) -> list[Photograph]:
    """The photographs of folders and zips, named by their place there; of several sources, under each one's name.

    ``share``: those alone that a training holds out whose ``data.validation`` is this (see `train.data.gather`).
    """
    found = [(source, m) for source in sources for m in find_images(source) if is_held_out(m.crc, share)]
    many = len(sources) > 1
    made = [
        Photograph(
            f"{source_title(source)}/{Path(m.name).with_suffix('')}" if many else str(Path(m.name).with_suffix("")),
            m.crc,
            _reader(m),
        )
        for source, m in found
    ]
    names = [p.name for p in made]
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise ValueError(f"{_some(twice)} there more than once: give each photograph once")
    return made


def _reader(member: SourceImage) -> Callable[[], RGB8]:
    return lambda: _pixels(member)


def _pixels(member: SourceImage) -> RGB8:
    """A photograph in 8-bit sRGB. Raises PhotoError."""
    pixels = open_photo(member.open(), name=member.name).pixels()
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _distinct(rows: Sequence[Row]) -> list[Row]:
    """The rows under names of their own: a second of a name is numbered."""
    made: list[Row] = []
    for row in rows:
        taken = [*BASELINES, *(r.name for r in made)]
        name = next(n for n in (row.name, *(f"{row.name} ({i})" for i in range(2, 99))) if n not in taken)
        made.append(replace(row, name=name))
    return made


def _some(names: Sequence[str]) -> str:
    """The first few names and how many more; ends in is or are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more} {'is' if len(names) == 1 else 'are'}"
