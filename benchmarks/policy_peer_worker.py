"""The published network by the peer's own modules, run by the interpreter of its environment; see `worker`."""

import time
import warnings
from copy import deepcopy

import numpy as np
import spectuner
import torch
from policy_recipe import config, fill
from spectuner.ai.inference import InferenceModel
from spectuner.ai.networks import create_parameter_estimator
from worker import serve

torch.set_num_threads(1)
state = {}


def make(path, size, seed, gain):
    """Write a checkpoint with random weights."""
    settings = config(size)
    model = create_parameter_estimator(settings, True)
    torch.save({"model_state": fill(model.state_dict(), seed, gain), "config": settings}, path)
    return {"n_weight": sum(p.numel() for p in model.parameters()), "version": spectuner.__version__}


def load(path, catalogue):
    """Read it as the peer does."""
    settings = spectuner.load_default_config()
    settings.set_fname_db(catalogue)
    settings.set_inference_model(str(path), device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces the bounds that it takes over
        state["model"] = InferenceModel.from_config(settings)
    return {}


def windows_of(pair, i):
    """The peer's description of the windows of a pair."""
    settings = spectuner.load_default_config()
    for k in range(int(pair[f"{i}_n_window"])):
        beam = pair[f"{i}_beam"]
        settings.append_spectral_window(
            np.stack([pair[f"{i}_nu_{k}"], pair[f"{i}_data_{k}"]], axis=1),
            float(beam[0]) if beam.size == 1 else tuple(float(b) / 3600.0 for b in beam),
            float(pair[f"{i}_noise"][k]),
            T_bg=float(pair[f"{i}_continuum"][k]),
            need_cmb=True,
        )
    return settings["obs_info"]


def flow(sampler, x, z, condition):
    """Log densities at x, and parameters of the points z."""
    log_prob = sampler.log_prob(x, condition.expand(len(x), -1))[:, 0]
    inverse = sampler.transform.reverse(z, condition.expand(len(z), -1))[0]
    return log_prob.numpy(), sampler.scaler_rand.recover(inverse).numpy()


@torch.no_grad()
def compute(path, out):
    """Every stage for every pair of an archive."""
    inference = state["model"]
    network = inference.model.eval()
    double = deepcopy(network.sampler).double()
    answers = {}
    with np.load(path) as pairs:
        for i in range(int(pairs["n_pair"])):
            observed, lines, *_ = inference.embedding_model(windows_of(pairs, i), str(pairs[f"{i}_species"]))
            encoded = network.backbone(torch.from_numpy(observed)[None], torch.from_numpy(lines)[None])
            condition = encoded[:, 0]
            x, z = torch.from_numpy(pairs[f"{i}_x"]), torch.from_numpy(pairs[f"{i}_z"])
            log_prob, inverse = flow(network.sampler, x, z, condition)
            log_prob_64, inverse_64 = flow(double, x.double(), z.double(), condition.double())
            answers |= {
                f"{i}_embed_sl": lines,
                f"{i}_embed_obs": observed,
                f"{i}_condition": condition[0].numpy(),
                f"{i}_log_prob": log_prob,
                f"{i}_inverse": inverse,
                f"{i}_log_prob_64": log_prob_64,
                f"{i}_inverse_64": inverse_64,
            }
    np.savez(out, **answers)
    return {}


@torch.no_grad()
def timing(path, index, n_draw):
    """Milliseconds of CPU time for tokens, encoder and draws of one pair."""
    inference = state["model"]
    with np.load(path) as pairs:
        windows, species = windows_of(pairs, index), str(pairs[f"{index}_species"])
    start = time.process_time()
    observed, lines, *_ = inference.embedding_model(windows, species)
    tokens = time.process_time()
    observed, lines = torch.from_numpy(observed)[None], torch.from_numpy(lines)[None]
    condition = inference.model.backbone(observed, lines)[:, 0]
    encoded = time.process_time()
    inference.model.sampler.draw_samples(condition.expand(n_draw, -1))
    drawn = time.process_time()
    return {"ms": [1e3 * t for t in (tokens - start, encoded - tokens, drawn - encoded)]}


if __name__ == "__main__":
    serve({"make": make, "load": load, "compute": compute, "timing": timing})
