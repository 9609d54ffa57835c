"""Studies of losses, training sets and color spaces: each variant is trained, exported and measured on the same photos.

    python benchmarks/study.py losses PHOTOS [-o runs/losses]
    python benchmarks/study.py imbalance PHOTOS [-o runs/imbalance]
    python benchmarks/study.py targets PHOTOS [-o runs/targets]

PHOTOS is the folder of photos-144-a.zip (training set) and photos-144-b.zip (test set). Existing results are kept, so
an interrupted study resumes. The tables of `photochrom evaluate` are written to the folder of the
study as SET.json and SET.html, for each test set.
"""

import argparse
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "study.toml"
SETS = {"faces": 1.0, "scenes": 0.25}  # the share of each, by hash, that is the test set: about 570 photos
LOSSES = {
    "l1": ["model.losses={l1=1.0}"],
    "l2": ["model.losses={l2=10.0}"],
    "huber-5": ["model.losses={huber=1.0}", "model.delta=5.0"],
    "huber-25": ["model.losses={huber=1.0}", "model.delta=25.0"],
    "perceptual": ["model.losses={l1=1.0,perceptual=0.2}"],
}
LENGTHS = {"15": ["trainer.steps=480"], "30": []}
LONG = ["data.scale=[1.0, 1.0]", "optimizer.weight_decay=0.0", "trainer.steps=1920"]
OVERFIT = {  # long, on whole photos: a network trained from scratch, and a pretrained one, without regularization
    "l1-plain-60": ["model.net={encoder='plain', depth=4, filters=16}", *LONG],
    "l1-free-60": ["model.net.encoder_rate=1.0", "optimizer.ema=0.0", *LONG],
}
BALANCE = {"plain": ["model.uniform=1.0"], "rebalanced": ["model.uniform=0.5"]}
TARGETS = {
    "lab": ["model.losses={l1=1.0}", "model.target=ab"],
    "rgb": ["model.losses={l1=1.0}", "model.target=rgb"],
}


@dataclass(frozen=True)
class Variant:
    """Sets of photos to train on, and changes to the recipe."""

    photos: Sequence[str]
    settings: Sequence[str]


def variants(study: str) -> Mapping[str, Variant]:
    """Return the variants of a study by name."""
    if study == "losses":
        lengths = {
            f"{loss}-{length}": Variant(["faces"], [*settings, *steps])
            for loss, settings in LOSSES.items()
            for length, steps in LENGTHS.items()
        }
        return lengths | {name: Variant(["faces"], [*LOSSES["l1"], *settings]) for name, settings in OVERFIT.items()}
    if study == "targets":
        return {
            f"{name}-{photos}": Variant([photos], settings) for name, settings in TARGETS.items() for photos in SETS
        }
    return {
        f"{'-'.join(photos)}-{name}": Variant(photos, ["model.family=classify", *settings])
        for photos in (["faces"], ["scenes"], ["faces", "scenes"])
        for name, settings in BALANCE.items()
    }


def photochrom(*arguments: object) -> None:
    """Run a command; exit if it fails."""
    subprocess.run(["photochrom", *map(str, arguments)], check=True)


def model(variant: Variant, archives: Path, run: Path) -> Path:
    """Return the bundle of a variant; train and export it if it does not exist."""
    bundle = run / "bundle" / run.name
    if not bundle.exists():
        resume = ["--resume"] if (run / "last.safetensors").exists() else []
        data = [part for name in variant.photos for part in ("--data", archives / "photos-144-a.zip" / name)]
        settings = [part for setting in variant.settings for part in ("--set", setting)]
        photochrom("train", RECIPE, *data, *settings, "-o", run, *resume)
        photochrom("export", run)
    return bundle


def main() -> None:
    """Train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("losses", "imbalance", "targets"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    out = options.out or Path("runs") / options.study
    models: list[object] = []
    for name, variant in variants(options.study).items():
        models += ["--model", model(variant, options.photos, out / name)]
    for name in ("faces",) if options.study == "losses" else SETS:
        reports = ("--json", out / f"{name}.json", "--html", out / f"{name}.html", "--overwrite")
        test_set = ("--data", options.photos / "photos-144-b.zip" / name, "--held-out", SETS[name])
        photochrom("evaluate", *test_set, *models, *reports)


if __name__ == "__main__":
    main()
