"""A study of how models differ by what they learn from or by: each variant trained, exported, and measured on the same.

    python benchmarks/study.py losses PHOTOS [-o runs/losses]
    python benchmarks/study.py imbalance PHOTOS [-o runs/imbalance]
    python benchmarks/study.py targets PHOTOS [-o runs/targets]

PHOTOS is the folder of photos-144-a.zip, which is learnt from, and photos-144-b.zip, which is measured on. What is
there already is not made again, so that a study that was stopped goes on. Ends with the tables that
`photochrom evaluate` gives, kept as ON.json and ON.html in the study's folder.
"""

import argparse
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "recipes" / "study.toml"
SETS = {"faces": 1.0, "scenes": 0.25}  # and the share of each, by hash, that is measured on: some 570 photographs
LOSSES = {
    "l1": ["model.losses={l1=1.0}"],
    "l2": ["model.losses={l2=10.0}"],
    "huber-5": ["model.losses={huber=1.0}", "model.delta=5.0"],
    "huber-25": ["model.losses={huber=1.0}", "model.delta=25.0"],
    "perceptual": ["model.losses={l1=1.0,perceptual=0.2}"],
}
LENGTHS = {"15": ["trainer.steps=480"], "30": []}
LONG = ["data.scale=[1.0, 1.0]", "optimizer.weight_decay=0.0", "trainer.steps=1920"]
OVERFIT = {  # for long, on whole photographs: a network that knows nothing, as the document's, and ours without reins
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
    """What is learnt from, and what is set over the recipe."""

    photos: Sequence[str]
    sets: Sequence[str]


def variants(study: str) -> Mapping[str, Variant]:
    """By name, all of a study."""
    if study == "losses":
        lengths = {
            f"{loss}-{length}": Variant(["faces"], [*sets, *steps])
            for loss, sets in LOSSES.items()
            for length, steps in LENGTHS.items()
        }
        return lengths | {name: Variant(["faces"], [*LOSSES["l1"], *sets]) for name, sets in OVERFIT.items()}
    if study == "targets":
        return {f"{name}-{photos}": Variant([photos], sets) for name, sets in TARGETS.items() for photos in SETS}
    return {
        f"{'-'.join(photos)}-{name}": Variant(photos, ["model.family=classify", *sets])
        for photos in (["faces"], ["scenes"], ["faces", "scenes"])
        for name, sets in BALANCE.items()
    }


def photochrom(*arguments: object) -> None:
    """Run the command; stop with it when it fails."""
    subprocess.run(["photochrom", *map(str, arguments)], check=True)


def model(variant: Variant, archives: Path, run: Path) -> Path:
    """The bundle of a variant, trained if it is not there."""
    bundle = run / "bundle" / run.name
    if not bundle.exists():
        resumed = ["--resume"] if (run / "last.safetensors").exists() else []
        data = [part for name in variant.photos for part in ("--data", archives / "photos-144-a.zip" / name)]
        sets = [part for one in variant.sets for part in ("--set", one)]
        photochrom("train", RECIPE, *data, *sets, "-o", run, *resumed)
        photochrom("export", run)
    return bundle


def main() -> None:
    """Train, export, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("losses", "imbalance", "targets"))
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path("runs") / given.study
    models: list[object] = []
    for name, variant in variants(given.study).items():
        models += ["--model", model(variant, given.photos, out / name)]
    for on in ("faces",) if given.study == "losses" else SETS:
        reports = ("--json", out / f"{on}.json", "--html", out / f"{on}.html", "--overwrite")
        measured = ("--data", given.photos / "photos-144-b.zip" / on, "--held-out", SETS[on])
        photochrom("evaluate", *measured, *models, *reports)


if __name__ == "__main__":
    main()
