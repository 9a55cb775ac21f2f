"""Settings from a configuration in the format of the authors of TAG-DQN: process, network, training and tree search.

Wavenumbers in it are in kK (1000 cm^-1). Names of files, which it also has, are the business of
`readers.case_folder`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...config import from_plain, yaml_text
from ...errors import InputError
from ..readers.case_folder import KILOKAYSER
from ..readers.case_folder import SETTINGS as PROCESS
from ..settings import AnalysisSettings
from .settings import DQNSettings, NetworkSettings

__all__ = ["PublishedSettings", "read_published"]

NETWORK = {
    "gat_n_layers": "n_layers",
    "gat_hidden_size": "hidden",
    "gat_heads": "n_head",
    "mlp_hidden_size": "mlp_hidden",
    "duel": "duelling",
    "noisy": "noisy",
    "sigma_0": "sigma",
}
TRAINING = {
    "gamma": "gamma",
    "episodes": "episodes",
    "buffer_capacity": "capacity",
    "tr_start_ep": "start_episode",
    "batch_size": "batch_size",
    "adam_lr": "learning_rate",
    "min_epsilon": "min_epsilon",
    "tau": "tau",
    "steps_per_train": "train_every",
    "patience": "patience",
    "double": "double",
    "per_alpha": "per_alpha",
    "per_beta": "per_beta",
    "n_step": "n_step",
}
TREE = {"C_p": "constant", "depth": "depth", "N_sim": "nsimulations"}
"""Names of the configuration to names here, the last ones to options of the tree search."""


@dataclass(frozen=True, slots=True)
class PublishedSettings:
    """What a published configuration says.

    Parameters
    ----------
    analysis : AnalysisSettings
    dqn : DQNSettings
    tree_search : dict
        Options of the agent ``mcts``, as far as they are given.
    """

    analysis: AnalysisSettings
    dqn: DQNSettings
    tree_search: dict[str, float | int]


def read_published(path: str | Path) -> PublishedSettings:
    """Read a configuration; what it leaves out keeps its default.

    Parameters
    ----------
    path : path
        A ``config.yaml``, or the folder that holds one.

    Raises
    ------
    InputError
        If there is no such file, it is not YAML, or a parameter is unknown or does not fit; it names it as the file
        does.
    """
    given = Path(path)
    file = given / "config.yaml" if given.is_dir() else given
    try:
        content = yaml_text.load(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"config: {file} cannot be read ({error.strerror}); give a published config.yaml"
        ) from error
    except InputError as error:
        raise InputError(f"config: {file}: {error}") from error
    params = content.get("params") if isinstance(content, Mapping) else None
    if not isinstance(params, Mapping):
        raise InputError(
            f"config: {file}: a mapping named params is needed; compare with a published config.yaml"
        )
    known = {"spec_range", *PROCESS, *NETWORK, *TRAINING, *TREE}
    if unknown := sorted(str(name) for name in params if name not in known):
        raise InputError(f"{unknown[0]}: is not a parameter of a published configuration ({file})")
    try:
        network = _built(NetworkSettings, params, NETWORK)
        return PublishedSettings(
            _analysis(params),
            _built(DQNSettings, params, TRAINING, network=network),
            {ours: _number(params, theirs) for theirs, ours in TREE.items() if theirs in params},
        )
    except InputError as error:
        raise InputError(f"config: {file}: {error}") from error


def _built(kind: type[Any], params: Mapping[str, Any], names: Mapping[str, str], **more: Any) -> Any:
    """Settings of the parameters that are given, each checked under the name of the file."""
    theirs = {ours: name for name, ours in names.items()}
    for ours, name in theirs.items():
        if name in params:
            try:
                from_plain(kind, {ours: params[name]})
            except InputError as error:
                raise InputError(str(error).replace(ours, name, 1)) from error
    given = from_plain(kind, {ours: params[name] for ours, name in theirs.items() if name in params})
    return replace(given, **more)


def _number(params: Mapping[str, Any], name: str) -> float | int:
    value = params[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise InputError(f"{name}: needs a number, zero or positive, got {value!r}")
    return value


def _analysis(params: Mapping[str, Any]) -> AnalysisSettings:
    plain: dict[str, Any] = {}
    if "spec_range" in params:
        bounds = params["spec_range"]
        if not (isinstance(bounds, list) and len(bounds) == 2):
            raise InputError(f"spec_range: needs two wavenumbers in 1000 cm-1, got {bounds!r}")
        plain["spectral_range"] = [
            _number({"spec_range": value}, "spec_range") * KILOKAYSER for value in bounds
        ]
    for theirs, (ours, factor) in PROCESS.items():
        if theirs in params:
            value = params[theirs]
            plain[ours] = value if factor is None else _number(params, theirs) * factor
            try:
                from_plain(AnalysisSettings, {ours: plain[ours]})
            except InputError as error:
                raise InputError(str(error).replace(ours, theirs, 1)) from error
    return from_plain(AnalysisSettings, plain)
