"""The evaluation of starts and solvers as a command of ``spectuner``."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spectuner_ext.errors import InputError

if TYPE_CHECKING:
    from spectuner_ext.policy.scenes.settings import SceneSettings

__all__ = ["evaluate"]


def evaluate(
    outdir: Annotated[
        Path, "Folder of results, tables and figures; the same call again goes on where it stopped."
    ],
    simulated: Annotated[int, "Simulated pairs of spectrum and species."] = 1000,
    real: Annotated[str, "Folder of real spectra (FITS tables, one window each)."] = "",
    real_pairs: Annotated[int, "Real pairs, at most."] = 1000,
    policy: Annotated[
        list[str] | None,
        "Trained policy, NAME=WEIGHTS, or NAME alone for the weights of the package; repeat.",
    ] = None,
    start: Annotated[
        list[str] | None, "Starts without weights: random, weighted (both when not given); repeat."
    ] = None,
    method: Annotated[
        list[str] | None,
        "Such as slsqp/policy/50, 'pso x3', evolution, slsqp/truth; or figures (when not given), main, quick.",
    ] = None,
    calibration: Annotated[int, "Draws of each policy among which the truth is ranked; 0 for none."] = 0,
    scenes: Annotated[str, "JSON file of settings of the simulator."] = "",
    seed: Annotated[int, "Same seed, same results."] = 0,
    workers: Annotated[int, "Processes."] = 1,
    plots: Annotated[bool, "Draw figures."] = True,
) -> None:
    """Compare starts and solvers on simulated and real spectra, by peak matching, in tables and figures.

    Ctrl-C keeps the pairs that are done.
    """
    from spectuner_ext.pipeline.evaluate.study import run_study

    from .interruption import Interruption
    from .progress import progress_line

    try:
        with Interruption(progress_line(words=pair_words)) as interruption:
            files = run_study(
                outdir,
                methods=method or ["figures"],
                starts=start or ["random", "weighted"],
                policies=_policies(policy or []),
                n_simulated=simulated,
                settings=_settings(scenes),
                real=real or None,
                n_real=real_pairs,
                n_calibration=calibration,
                seed=seed,
                workers=workers,
                plots=plots,
                progress=interruption,
            )
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr)
    for file in files:
        print(f"wrote {file}")
    if interruption.wanted:
        print("spectuner: cancelled; the same call goes on", file=sys.stderr)
        sys.exit(130)


def pair_words(report: Mapping[str, Any]) -> str:
    """Put the report of an evaluation into words."""
    kept = f" ({report['restored']} kept)" if report.get("restored") else ""
    return f"{report['done']}/{report['total']} pairs{kept}, {report['pair']}"


def _policies(given: Sequence[str]) -> dict[str, str | None]:
    """Names and weights."""
    pairs = [text.partition("=") for text in given]
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"policy: names of policies must differ, got {', '.join(names)}")
    return {name: weights or None for name, _, weights in pairs}


def _settings(file: str) -> "SceneSettings | None":
    if not file:
        return None
    from spectuner_ext.policy.scenes.settings import SceneSettings

    try:
        values = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"scenes: {file} is not a JSON file of settings: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f'scenes: {file} needs one JSON object, such as {{"kind": "blended"}}')
    return SceneSettings.from_json(values)
