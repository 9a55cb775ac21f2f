"""The peer's side, run by the interpreter of its own environment; see `worker` for how it is asked."""

import time

import numpy as np
import spectuner
from scipy.optimize._numdiff import approx_derivative
from setups import read_case
from spectuner.optimize.optimize import create_optimizer
from spectuner.peaks import PeakManager
from worker import cpu_per_call, serve

NAMES = ("theta", "T_ex", "N_tot", "delta_v", "v_offset")
LOGARITHMIC = (True, False, True, True, False)

state = {}


def load(path):
    """Build the peer's model and losses for a case, and let its compiled parts compile."""
    case = read_case(path)
    config = spectuner.load_default_config()
    config.set_fname_db(case.catalogue)
    beam = case.beam / 3600.0
    for nu, data in zip(case.nu, case.data, strict=True):
        config.append_spectral_window(
            np.stack([nu, data], axis=1), (beam, beam), case.sigma, T_bg=0.0, need_cmb=True
        )
    for name, logarithmic, bound in zip(NAMES, LOGARITHMIC, case.bounds, strict=True):
        special = "eta" if name == "theta" else None
        config.set_param_info(name, is_log=logarithmic, bound=tuple(bound), special=special)
    factory = spectuner.SpectralLineModelFactory(config)
    species = spectuner.create_specie_list(case.species)
    state["case"], state["config"] = case, config
    for loss in ("pm", "chi2"):
        state[loss] = factory.create_fitting_model(config["obs_info"], species, loss_fn=loss)
        state[loss](case.vector)
    return {"n_channel": int(sum(nu.size for nu in case.nu)), "version": spectuner.__version__}


def measure(row):
    """CPU seconds per call of one row of the table, at the true parameters."""
    x, pm, chi2 = state["case"].vector, state["pm"], state["chi2"]
    spectrum = pm.sl_model(x)

    def value_and_gradient():
        value = chi2(x)
        return approx_derivative(chi2, x, method="3-point", f0=value, bounds=tuple(chi2.bounds.T))

    rows = {
        "spectrum": lambda: pm.sl_model(x),
        "PM loss": lambda: pm.loss_fn(spectrum),
        "chi2": lambda: chi2.loss_fn(spectrum),
        "spectrum + PM": lambda: pm(x),
        "spectrum + chi2": lambda: chi2(x),
        "chi2 and gradient": value_and_gradient,
    }
    return {"seconds": cpu_per_call(rows[row])}


def accuracy():
    """Largest error of the model at the true parameters, relative to the peak of the exact spectrum."""
    exact = state["case"].clean
    model = state["chi2"].sl_model(state["case"].vector)
    error = max(float(np.max(np.abs(m - e))) for m, e in zip(model, exact, strict=True))
    return {"error": error / max(float(e.max()) for e in exact)}


def fit(loss, method, seed):
    """One fit without a guess, by the peer's own optimiser with its own settings."""
    config = state["config"]
    options = {"n_trial": 3} if method == "pso" else {"n_draw": 50}
    config.set_optimizer(method, **options)
    optimiser = create_optimizer(config)
    np.random.seed(seed)  # noqa: NPY002 - the stream that the peer draws its starts from; its swarm has none
    start = time.process_time()
    result = optimiser(state[loss])
    seconds = time.process_time() - start
    return {
        "seconds": seconds,
        "loss": float(result["fun"]),
        "x": np.asarray(result["x"], dtype=float).tolist(),
        "evaluations": int(result["nfev"]),
    }


def refine(loss, x):
    """Minimum that the peer's local optimiser reaches from x: a candidate for the best loss known."""
    state["config"].set_optimizer("slsqp" if loss == "chi2" else "nelder-mead", n_draw=50)
    result = create_optimizer(state["config"])(state[loss], np.array(x))
    return {"loss": min(float(result["fun"]), float(state[loss](np.array(x))))}


def peak_matching(path):
    """Losses of the pairs of spectra in an archive of `compare_peak_matching`."""
    pairs = np.load(path)
    losses = []
    for i in range(int(pairs["n_pair"])):
        windows = [str(w) for w in range(int(pairs[f"{i}_n_window"]))]
        observed = [np.stack([pairs[f"{i}_{w}_nu"], pairs[f"{i}_{w}_data"]], axis=1) for w in windows]
        manager = PeakManager(
            observed, [float(t) for t in pairs[f"{i}_threshold"]], float(pairs["rel_height"])
        )
        total, peaks = manager([pairs[f"{i}_{w}_model"] for w in windows])
        losses.append([float(total), float(peaks)])
    return losses


if __name__ == "__main__":
    serve(
        {
            "load": load,
            "measure": measure,
            "accuracy": accuracy,
            "fit": fit,
            "refine": refine,
            "peak_matching": peak_matching,
        }
    )
