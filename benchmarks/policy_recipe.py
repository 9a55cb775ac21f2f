"""Checkpoints in the published format with reproducible random weights, and the sizes they come in. NumPy only."""

import zlib

import numpy as np

BOUNDS = [[-3.0, -0.00043], [1.0, 1000.0], [12.0, 22.0], [-0.5, 1.5], [-12.0, 12.0]]
NAMES = ("theta", "T_ex", "N_tot", "delta_v", "v_offset")
LOGARITHMIC = (True, False, True, True, False)

SIZES = {
    "golden": {"d_model": 16, "n_head": 2, "d_ff": 24, "n_grid": 240, "d_patch": 30},
    "small": {"d_model": 32, "n_head": 4, "d_ff": 64, "n_grid": 1920, "d_patch": 240},
    "full": {"d_model": 768, "n_head": 8, "d_ff": 2048, "n_grid": 1920, "d_patch": 240},
}
"""The full size is the published one, with 89,226,370 weights."""


def config(size, *, n_coupler=2, value_function=False, width_min=0.0, permute=(2, 0, 4, 1, 3)):
    """Config of a checkpoint; the order of the parameters is not the trivial one."""
    s = SIZES[size]
    return {
        "nn": {
            "backbone": {
                "name": "v6",
                "d_model": s["d_model"],
                "n_head": s["n_head"],
                "d_ff": s["d_ff"],
                "ff_type": "swiglu",
                "n_block": 2,
                "d_sl": 114,
                "in_channels": 11,
                "d_obs": s["n_grid"],
                "d_patch": s["d_patch"],
            },
            "sampler": {
                "name": "v2",
                "n_dim": 5,
                "n_bin": 32,
                "beta": 1.5,
                "width_min": width_min,
                "permute": list(permute),
                "n_block": n_coupler,
                "bounds": BOUNDS,
            },
            "need_vf": value_function,
        },
        "embedding": {"name": "v3", "v_width": 100.0, "n_grid": s["n_grid"]},
        "param_info": {
            name: {"is_log": log, "bound": tuple(bound), "is_shared": False}
            | ({"special": "eta"} if name == "theta" else {})
            for name, log, bound in zip(NAMES, LOGARITHMIC, BOUNDS, strict=True)
        },
    }


def weights(name, shape, seed, gain=0.5):
    """Float32 weights of one tensor.

    The condition leaves the range that the decoder sees. With `gain` 0.5 densities differ by a factor of 1e4 between
    parameters; with 3 by 1e25, and single precision no longer gives log densities to four digits.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    u = 2.0 * rng.random(shape) - 1.0
    if "rms_norm" in name:
        u = 1.0 + 0.3 * u
    elif name.endswith("bias"):
        u *= 0.3
    elif not ("marker" in name or name.endswith("lin_1.weight")):
        u *= (gain if name.endswith("lin_2.weight") else 1.0) * np.sqrt(3.0 / np.prod(shape[1:]))
    return u.astype(np.float32)


def fill(state, seed, gain=0.5):
    """Put random weights into the floating-point tensors of a state dict, but for the box of the parameters."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and "scaler" not in name:
            tensor.copy_(tensor.new_tensor(weights(name, tuple(tensor.shape), seed, gain)))
    return state
