"""Search for settings of the training that earn the most reward, with optuna; no key is involved.

Trials are kept in optuna's journal, ``trials.log``, and their trainings in folders beside it, so that a sweep goes on
where it was stopped: a trial under way is taken up again, and each training continues from its checkpoint. A trial
depends on the seed, its number and the trials before it only.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import QTable

from ... import config
from ...errors import InputError, require
from ...learning.atomic_file import write_whole
from ...learning.folder_lock import folder_lock
from ...learning.seeding import derived_seeds
from .settings import DQNSettings
from .sweep_trial import Ground, Progress, StoppedError, Telling, prepared, rewards_of

require("optuna", extra="rl")

import optuna  # noqa: E402  # only after its absence has been explained
from optuna.distributions import (  # noqa: E402
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402
from optuna.trial import FrozenTrial, TrialState  # noqa: E402

__all__ = ["SPACE", "sweep", "trials_table"]

JOURNAL, TRIALS, BEST, REWARDS = "trials.log", "trials.ecsv", "best.yaml", "rewards.json"
STUDY = "sweep"
SHARED = "shared"
"""User attribute of the study with what all trials share."""

RANDOM_TRIALS = 8
"""Trials that are drawn before the model of the search is used."""

SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 5e-3, log=True),
    "tau": FloatDistribution(3e-4, 3e-2, log=True),
    "gamma": CategoricalDistribution((0.9, 0.95, 0.99, 0.997)),
    "n_step": IntDistribution(1, 6),
    "batch_size": CategoricalDistribution((8, 16, 32, 64)),
    "train_every": CategoricalDistribution((1, 2, 4, 8, 16)),
    "per_alpha": CategoricalDistribution((0.0, 0.3, 0.6)),
    "double": CategoricalDistribution((True, False)),
    "network.n_layers": IntDistribution(1, 4),
    "network.hidden": CategoricalDistribution((8, 16, 32, 64)),
    "network.mlp_hidden": CategoricalDistribution((16, 32, 64, 128)),
    "network.sigma": FloatDistribution(0.1, 1.0, log=True),
    "network.noisy": CategoricalDistribution((True, False)),
    "network.duelling": CategoricalDistribution((True, False)),
    "network.one_step": CategoricalDistribution((True, False)),
    "network.head": CategoricalDistribution(("local", "published")),
}
"""Settings that can be varied, by their names with dots, and the values that are tried."""

USUAL = tuple(name for name in SPACE if name != "network.head")
"""What is varied unless something else is asked for: the published head would take ten times as long."""


def sweep(
    folder: str | Path,
    cases: Sequence[Ground],
    *,
    n_trials: int = 30,
    n_seeds: int = 1,
    seed: int = 0,
    episodes: int = 64,
    search: Sequence[str] | None = None,
    reward: str = "",
    compat: str = "",
    configuration: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Try settings, each by trainings on all cases from all seeds.

    What counts is the mean over cases and seeds of the best reward of a training. The first trial has the settings
    as they are; then random ones come, then those that the tree-structured Parzen estimator proposes (Bergstra et
    al. 2011, NeurIPS 24).

    Parameters
    ----------
    folder : path
    cases : sequence
    n_trials : int
        In all, those included that are done.
    n_seeds : int
        Trainings on each case.
    seed : int
    episodes : int
        Of each training.
    search : sequence of str, optional
        Names in `SPACE` that are varied.
    reward, compat : str
        See `episode.begin`; empty for the defaults.
    configuration : path, optional
        Published configuration with the other settings; by default that of the first case that has one.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    list of Path
        Table of the trials, and the best settings as YAML.

    Raises
    ------
    InputError
        Before any work, if something that was asked for cannot be done, or the folder holds another sweep.
    """
    for name, value in (("trials", n_trials), ("seeds", n_seeds), ("episodes", episodes)):
        if value < 1:
            raise InputError(f"{name}: must be at least 1, got {value}")
    if not cases:
        raise InputError(
            "cases: there is nothing to train on; give folders of cases, or ask for simulated ions"
        )
    names = tuple(search) if search else USUAL
    for name in names:
        if name not in SPACE:
            raise InputError(f"search: unknown setting {name!r}; choose from {', '.join(SPACE)}")
    options = {name: value for name, value in (("reward", reward), ("compat", compat)) if value}
    starts, base = prepared(cases, seed, options, configuration)
    base = replace(base, episodes=episodes)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with folder_lock(target):
        study = _study(target, _shared(tuple(starts), base, options, n_seeds, seed, names))
        telling = Telling(n_trials, progress)
        with suppress(StoppedError):
            while (number := _next(study, n_trials, seed, names, base)) is not None:
                done = _finished(study)
                telling.begin(len(done), max((t.value for t in done if t.value is not None), default=None))
                settings = config.override(base, study.trials[number].params)
                where = _trial_folder(target, number)
                rewards = rewards_of(settings, starts, n_seeds, where, telling)
                write_whole(where / REWARDS, json.dumps(rewards).encode())
                study.tell(number, float(np.mean(list(rewards.values()))))
        return _write(target, study, base)


def _trial_folder(folder: Path, number: int) -> Path:
    return folder / f"trial_{number}"


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state == TrialState.COMPLETE]


def _shared(
    cases: Sequence[str],
    base: DQNSettings,
    options: Mapping[str, Any],
    n_seeds: int,
    seed: int,
    names: Sequence[str],
) -> dict[str, Any]:
    """What trials must have alike to be compared; the data themselves are checked with each training."""
    return {
        "cases": list(cases),
        "settings": config.to_plain(base),
        "options": dict(options),
        "seeds": n_seeds,
        "seed": seed,
        "search": list(names),
    }


def _study(folder: Path, shared: dict[str, Any]) -> optuna.Study:
    """The study of a folder, new or as it was left."""
    _mend(folder / JOURNAL)
    storage = JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    study = optuna.create_study(storage=storage, study_name=STUDY, direction="maximize", load_if_exists=True)
    before = study.user_attrs.get(SHARED)
    if before is None:
        study.set_user_attr(SHARED, shared)
    elif names := config.difference(before, shared):
        raise InputError(
            f"outdir: the sweep in {folder} was begun with other {', '.join(names)}; go on with the same, or choose "
            "another folder"
        )
    return study


def _mend(journal: Path) -> None:
    """Take away what a kill may have left: half a line at the end, and optuna's own lock, for which it would wait."""
    for lock in journal.parent.glob(f"{journal.name}.lock*"):
        lock.unlink()
    if journal.exists():
        with journal.open("r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def _next(
    study: optuna.Study, n_trials: int, seed: int, names: Sequence[str], base: DQNSettings
) -> int | None:
    """Number of a trial to carry out: one that was under way, or a new one; None when there are enough."""
    for trial in study.trials:
        if trial.state == TrialState.RUNNING and set(trial.params) == set(names):
            return trial.number
        if trial.state == TrialState.RUNNING:  # killed while it was drawn
            study.tell(trial.number, state=TrialState.FAIL)
    done = _finished(study)
    if len(done) >= n_trials:
        return None
    if not done:
        study.enqueue_trial(_values(base, names), skip_if_exists=True)
    # A sampler of its own for every trial: what it draws does not depend on interruptions before it.
    (own_seed,) = derived_seeds(seed, f"trial {len(done)}", 1)
    study.sampler = TPESampler(seed=own_seed, n_startup_trials=RANDOM_TRIALS)
    return int(study.ask({name: SPACE[name] for name in names}).number)


def _values(settings: DQNSettings, names: Sequence[str]) -> dict[str, Any]:
    """Values of settings by their names with dots; those that the search would not try are left to it."""
    plain = config.to_plain(settings)
    values = {}
    for name in names:
        outer, _, inner = name.partition(".")
        value = plain[outer][inner] if inner else plain[outer]
        if _is_tried(SPACE[name], value):
            values[name] = value
    return values


def _is_tried(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return value in distribution.choices
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return bool(distribution.low <= value <= distribution.high)


def trials_table(folder: Path, study: optuna.Study) -> QTable:
    """Finished trials, the best first: number, reward, settings, reward on each case."""
    done = sorted(_finished(study), key=lambda t: (-(t.value or 0.0), t.number))
    rows = []
    for t in done:
        rewards = json.loads((_trial_folder(folder, t.number) / REWARDS).read_bytes())
        on_cases = {f"reward {name}": value for name, value in rewards.items()}
        rows.append({"trial": t.number, "reward": t.value, **t.params, **on_cases})
    return QTable(rows=rows) if rows else QTable()


def _write(folder: Path, study: optuna.Study, base: DQNSettings) -> list[Path]:
    table = trials_table(folder, study)
    if not len(table):
        return []
    table.write(folder / TRIALS, format="ascii.ecsv", overwrite=True)
    config.dump(config.override(base, study.best_params), folder / BEST)
    return [folder / TRIALS, folder / BEST]
