"""The peer's side, run by the interpreter of its own environment; see `worker` for how it is asked."""

import numpy as np
from spectuner.peaks import PeakManager
from worker import serve


def peak_matching(path):
    """Losses of the pairs of spectra in an archive of `compare_peak_matching`."""
    pairs = np.load(path)
    losses = []
    for i in range(int(pairs["n_pair"])):
        windows = [str(w) for w in range(int(pairs[f"{i}_n_window"]))]
        observed = [np.stack([pairs[f"{i}_{w}_nu"], pairs[f"{i}_{w}_data"]], axis=1) for w in windows]
        manager = PeakManager(observed, [float(t) for t in pairs[f"{i}_threshold"]], float(pairs["rel_height"]))
        total, peaks = manager([pairs[f"{i}_{w}_model"] for w in windows])
        losses.append([float(total), float(peaks)])
    return losses


if __name__ == "__main__":
    serve({"peak_matching": peak_matching})
