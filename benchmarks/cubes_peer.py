"""The peer's fits of single pixels of a cube, run by the interpreter of its own environment; see `worker`."""

import time

import numpy as np
import spectuner
from spectuner.optimize.optimize import create_optimizer
from worker import serve

NAMES = ("theta", "T_ex", "N_tot", "delta_v", "v_offset")
LOGARITHMIC = (True, False, True, True, False)

state = {}


def load(path, catalogue):
    """Read the drawn pixels and let the compiled parts compile."""
    with np.load(path) as stored:
        pixels = {name: stored[name] for name in stored.files}
    config = spectuner.load_default_config()
    config.set_fname_db(catalogue)
    for name, logarithmic, bound in zip(NAMES, LOGARITHMIC, pixels["bounds"], strict=True):
        special = "eta" if name == "theta" else None
        config.set_param_info(name, is_log=logarithmic, bound=tuple(bound), special=special)
    state.update(pixels=pixels, config=config, factory=spectuner.SpectralLineModelFactory(config))
    for loss in ("pm", "chi2"):
        model_of(0, loss)(pixels["x_true"][0])
    return {"version": spectuner.__version__}


def model_of(pixel, loss):
    """The peer's fitting model of a pixel."""
    p = state["pixels"]
    beam = float(p["beam"]) / 3600.0
    info = [
        {
            "spec": np.stack([p[f"nu_{w}"], p[f"data_{w}"][pixel]], axis=1),
            "beam_info": (beam, beam),
            "T_bg": float(p["continuum"][pixel, w]),
            "need_cmb": True,
            "noise": float(p["sigma"][pixel, w]),
        }
        for w in range(int(p["n_window"]))
    ]
    species = [{"id": 0, "root": str(p["species"]), "species": [str(p["species"])]}]
    return state["factory"].create_fitting_model(info, species, loss)


def fit(loss, method, pixel, seed):
    """One fit without a guess by the peer's own optimiser and settings; preparing the pixel is timed apart."""
    state["config"].set_optimizer(method, n_draw=50)
    start = time.process_time()
    model = model_of(pixel, loss)
    prepared = time.process_time()
    np.random.seed(seed)  # noqa: NPY002 - the stream that the peer draws its starts from
    result = create_optimizer(state["config"])(model)
    end = time.process_time()
    return {
        "setup": prepared - start,
        "seconds": end - prepared,
        "loss": float(result["fun"]),
        "x": np.asarray(result["x"], dtype=float).tolist(),
        "evaluations": int(result["nfev"]),
    }


def judge(loss, x):
    """The peer's loss at somebody's solution of every drawn pixel."""
    return {"loss": [float(model_of(i, loss)(np.array(point))) for i, point in enumerate(x)]}


def refine(loss, x):
    """What the peer's local optimiser reaches from given points: candidates for the best by its own loss."""
    state["config"].set_optimizer("slsqp" if loss == "chi2" else "nelder-mead", n_draw=50)
    optimiser = create_optimizer(state["config"])
    ends = []
    for i, point in enumerate(x):
        model = model_of(i, loss)
        ends.append(min(float(optimiser(model, np.array(point))["fun"]), float(model(np.array(point)))))
    return {"loss": ends}


if __name__ == "__main__":
    serve({"load": load, "fit": fit, "judge": judge, "refine": refine})
