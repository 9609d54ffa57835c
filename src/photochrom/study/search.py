"""A search for the best settings of a recipe: ``python -m photochrom.study.search``, with JSON as its argument.

Takes the ``recipe``, the ``keys`` with their ranges, the number of ``trials``, the ``metric`` to minimize, ``init`` and
the file to write as ``out``: the best settings as ``set`` and the run of the best trial as ``run``. Each trial is a
training. Trials are suggested by the tree-structured Parzen estimator of Optuna (Bergstra et al. 2011); the first one
has the recipe's own settings. A search that was stopped goes on.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ..imaging.atomic import atomic_write
from ..training.checkpoint import load
from ..training.loop import train
from ..training.recipe import override, parse

Tables = dict[str, Any]


def main() -> None:
    """Search, and write the best settings; a wrong recipe ends with exit code 1 and its reason."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = json.loads(sys.argv[1])
    try:
        search(**arguments | {"out": Path(arguments["out"])})
    except (ValueError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def search(
    recipe: Tables, keys: dict[str, tuple[float, float]], trials: int, metric: str, init: str, out: Path
) -> None:
    """Run the trials that are left, and write the best settings. Raises ValueError where every trial fails."""
    folder = out.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    storage = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    study = optuna.create_study(
        study_name=out.stem, storage=storage, sampler=optuna.samplers.TPESampler(seed=0), load_if_exists=True
    )
    if not study.trials:
        study.enqueue_trial(_own_settings(recipe, keys))

    def run_trial(trial: optuna.Trial) -> float:
        sets = [f"{key}={trial.suggest_float(key, *limits, log=True)!r}" for key, limits in keys.items()]
        run = folder / f"{trial.number}"
        trial.set_user_attr("set", sets)
        tables = json.loads(json.dumps(recipe))
        for assignment in sets:
            override(tables, assignment)
        train(parse(tables, str(out)), run, init=Path(init) if init else None)
        validation = load(run)[2]["validation"]
        if validation is None:
            raise ValueError("no photos are held out, so that trials cannot be compared; raise data.validation")
        return float(validation[metric])

    finished = (optuna.trial.TrialState.COMPLETE,)
    left = trials - len(study.get_trials(states=finished))
    # A loss that is not finite ends a trial, not the search.
    study.optimize(run_trial, n_trials=left, catch=(FloatingPointError,))
    if not study.get_trials(states=finished):
        raise ValueError(f"{out}: no trial could be trained; choose other ranges in search.keys")
    best = study.best_trial
    rows = [{"set": trial.user_attrs["set"], metric: trial.value} for trial in study.get_trials(states=finished)]
    content = {"set": best.user_attrs["set"], metric: best.value, "run": str(folder / str(best.number)), "trials": rows}
    with atomic_write(out, overwrite=True) as file:
        file.write(json.dumps(content, indent=1).encode())


def _own_settings(recipe: Tables, keys: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Return the recipe's own values of the keys, within their ranges."""
    values = {}
    for key, (low, high) in keys.items():
        value: Any = recipe
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, int | float):
            values[key] = min(max(float(value), low), high)
    return values


if __name__ == "__main__":
    main()
