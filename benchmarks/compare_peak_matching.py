"""Compare the peak-matching loss with the peer's own, on the same random spectra, each in its environment.

python benchmarks/compare_peak_matching.py --peer-python PATH [--pairs N]
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from worker import Worker

from spectuner_ext.fitting.peak_kernel import pm_loss
from spectuner_ext.fitting.peak_matching import build_peak_data, work_for
from spectuner_ext.fitting.peak_reference import reference_pm_loss
from spectuner_ext.observation.observation import Observation, Window

SIGMA = 0.1  # K
REL_HEIGHT = 0.25


def spectrum(nu, rng, n_line):
    channel = np.arange(nu.size)
    x = np.zeros(nu.size)
    for _ in range(n_line):
        width, centre = rng.uniform(0.8, 9.0), rng.uniform(-3, nu.size + 3)
        x += rng.uniform(0.2, 6.0) * np.exp(-0.5 * ((channel - centre) / width) ** 2)
    return np.where(x > 1e-6, x, 0.0)


def random_pair(rng):
    """Windows in ascending frequency, (nu, data, model) each; the model is near the data or unrelated."""
    windows = []
    start = 2.2e5
    kind = rng.choice(["near", "apart", "forest", "faint"])
    for _ in range(rng.integers(1, 4)):
        nu = start + np.cumsum(rng.uniform(0.4, 0.6, rng.integers(60, 900)))
        start = nu[-1] + rng.uniform(1, 300)
        n_line = 40 if kind == "forest" else rng.integers(0, 12)
        truth = spectrum(nu, rng, n_line)
        model = spectrum(nu, rng, 40 if kind == "forest" else rng.integers(0, 12))
        if kind == "near":
            model = rng.uniform(0.5, 1.5) * np.roll(truth, rng.integers(-3, 4))
        if kind == "faint":
            model *= 0.1
        data = np.maximum(truth + rng.choice([0.0, SIGMA]) * rng.standard_normal(nu.size), 0.0)
        windows.append((nu, data, model))
    return windows


def our_losses(windows):
    """Loss and its peak part: compiled, and by the reference."""
    observation = Observation(
        tuple(
            Window(
                nu=nu,
                intensity=data,
                sigma=np.full(nu.size, SIGMA),
                mask=np.ones(nu.size, dtype=bool),
                t_continuum=np.zeros(nu.size),
            )
            for nu, data, _ in windows
        )
    )
    data = build_peak_data(observation, rel_height=REL_HEIGHT)
    model = np.concatenate([w[2] for w in windows])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], model != 0, [False]]).astype(int)))
    borders = data.window_start[1:-1]
    inside = np.intersect1d(borders, np.flatnonzero(model != 0))
    inside = inside[model[inside - 1] != 0]
    intervals = np.sort(np.concatenate([edges, inside, inside])).reshape(-1, 2).astype(np.int64)
    fast = pm_loss(model, intervals, len(intervals), data, work_for(data))
    slow = reference_pm_loss(*zip(*windows, strict=True), [4 * SIGMA] * len(windows), rel_height=REL_HEIGHT)
    return [fast[0], fast[2]], [slow.loss, slow.l_peak]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True, help="interpreter of an environment with spectuner")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    pairs = [random_pair(rng) for _ in range(options.pairs)]
    arrays = {"n_pair": len(pairs), "rel_height": REL_HEIGHT}
    for i, windows in enumerate(pairs):
        arrays |= {f"{i}_n_window": len(windows), f"{i}_threshold": np.full(len(windows), 4 * SIGMA)}
        for w, (nu, data, model) in enumerate(windows):
            arrays |= {f"{i}_{w}_nu": nu, f"{i}_{w}_data": data, f"{i}_{w}_model": model}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.npz"
        np.savez(path, **arrays)
        with Worker(options.peer_python, "peer_worker.py") as peer:
            theirs = np.array(peer.ask("peak_matching", path=str(path)))
    fast, slow = (np.array(x) for x in zip(*map(our_losses, pairs), strict=True))
    print(f"{len(pairs)} pairs; loss from {theirs[:, 0].min():.4g} to {theirs[:, 0].max():.4g} K")
    worst = 0.0
    for name, ours in (("compiled", fast), ("reference", slow)):
        difference = np.abs(ours - theirs) / np.maximum(1.0, np.abs(theirs))
        worst = max(worst, float(difference.max()))
        print(
            f"{name}: largest difference to the peer, relative to max(1 K, loss): {difference.max():.2e}; "
            f"above 1e-10 in {int(np.sum(difference.max(axis=1) > 1e-10))} pairs"
        )
    return int(not worst < 1e-10)


if __name__ == "__main__":
    sys.exit(main())
