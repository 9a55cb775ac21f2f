"""Compare our reading of the published network with the peer's own, stage by stage, and the time both take.

python benchmarks/policy_peer.py --peer-python PATH [--size small|full] [--pairs N] [--gain G] [--golden FOLDER]
"""

import argparse
import tempfile
import time
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from policy_recipe import BOUNDS
from worker import Worker

from spectuner_ext.observation.observation import Beam, Observation, Window
from spectuner_ext.policy.case import Case
from spectuner_ext.policy.published.policy import PublishedPolicy
from spectuner_ext.policy.published.tokens import (
    line_features,
    lines_to_read,
    observed_features,
    read_windows,
)
from spectuner_ext.spectroscopy import LineDatabase

BANDS = ((84e3, 116e3), (211e3, 275e3), (275e3, 373e3))  # MHz, of ALMA
STAGES = ("embed_sl", "embed_obs", "condition", "log_prob", "inverse")
DOUBLE = ("log_prob_64", "inverse_64")
N_POINT = 64
N_DRAW = 50
TOLERANCE = 1e-4


class Pair(NamedTuple):
    """One observation and one species; what the peer is given."""

    species: str
    nu: list  # MHz
    data: list  # K
    noise: np.ndarray  # K
    continuum: np.ndarray  # K
    beam: np.ndarray  # arcsec, arcsec; or m
    x: np.ndarray  # parameters at which the density is wanted
    z: np.ndarray  # points of the unit cube to be transformed


def random_pair(database, species, rng, n_channel=(200, 3000)):
    """Windows around lines of the species, with its lines, those of others, and noise."""
    low, high = BANDS[rng.integers(len(BANDS))]
    lines = database.select(species, [(low, high)])
    nu, data = [], []
    end = 0.0
    for centre in np.sort(rng.choice(lines.frequency, min(len(lines), rng.integers(1, 5)), replace=False)):
        n = int(rng.integers(*n_channel))
        step = rng.choice([0.061, 0.122, 0.244, 0.488, 0.977])
        first = max(centre - n * step * rng.uniform(0.02, 0.98), end + 5.0)
        if first + (n - 1) * step <= centre:  # the window before has taken its place
            continue
        axis = first + step * np.arange(n)
        end = axis[-1]
        x = np.zeros(n)
        inside = lines.frequency[(lines.frequency > axis[0]) & (lines.frequency < axis[-1])]
        for mu in np.concatenate([inside, rng.uniform(axis[0], axis[-1], rng.integers(0, 12))]):
            x += 10 ** rng.uniform(-1, 2) * np.exp(-0.5 * ((axis - mu) / rng.uniform(0.3, 6.0)) ** 2)
        nu.append(axis)
        data.append(x)
    noise = 10 ** rng.uniform(-2, 0, len(nu))
    data = [x + s * rng.standard_normal(x.size) for x, s in zip(data, noise, strict=True)]
    dish = rng.random() < 0.3
    beam = rng.uniform(10, 50, 1) if dish else 10 ** rng.uniform(-1.5, 1.0, 2)
    box = np.array(BOUNDS)
    x = rng.uniform(box[:, 0], box[:, 1], (N_POINT, 5))
    x[:5], x[5:10] = box[:, 0], box[:, 1]
    z = rng.random((N_POINT, 5)).astype(np.float32)
    z[0], z[1] = 0.0, 1.0 - 1e-6
    return Pair(species, nu, data, noise, rng.choice([0.0, 20.0], len(nu)), beam, x.astype(np.float32), z)


def random_pairs(database, n, seed, n_line=(1, 400), **options):
    rng = np.random.default_rng(seed)
    pairs = []
    while len(pairs) < n:
        species = database.species[rng.integers(len(database.species))]
        try:
            pair = random_pair(database, species, rng, **options)
            count = lines_to_read(*case_of(pair, database), 1 << 30)[0].size
        except ValueError:  # no line in the band
            continue
        if n_line[0] <= count <= n_line[1]:
            pairs.append(pair)
    return pairs


def case_of(pair, database):
    beam = Beam(diameter=pair.beam[0]) if pair.beam.size == 1 else Beam(*pair.beam)
    observation = Observation(
        tuple(
            Window(
                nu=nu,
                intensity=data,
                sigma=np.full(nu.size, noise),
                mask=np.ones(nu.size, dtype=bool),
                t_continuum=np.full(nu.size, continuum),
                beam=beam,
            )
            for nu, data, noise, continuum in zip(pair.nu, pair.data, pair.noise, pair.continuum, strict=True)
        )
    )
    transitions = database.select(pair.species, [(w.nu[0], w.nu[-1]) for w in observation.windows])
    return observation, transitions


def archive(pairs):
    """Arrays for the peer."""
    out = {"n_pair": len(pairs)}
    for i, pair in enumerate(pairs):
        out |= {
            f"{i}_{name}": getattr(pair, name) for name in ("species", "noise", "continuum", "beam", "x", "z")
        }
        out[f"{i}_n_window"] = len(pair.nu)
        for k, (nu, data) in enumerate(zip(pair.nu, pair.data, strict=True)):
            out |= {f"{i}_nu_{k}": nu, f"{i}_data_{k}": data}
    return out


def tokens(policy, observation, transitions):
    s = policy.network.settings
    line, window = lines_to_read(observation, transitions, s.max_length)
    observed = observed_features(
        read_windows(observation), transitions.frequency[line], window, s.v_width, s.n_grid
    )
    return line_features(transitions, line, policy.temperatures), observed


@torch.no_grad()
def ours(policy, pair):
    """Every stage by our code."""
    observation, transitions = case_of(pair, policy.database)
    lines, observed = tokens(policy, observation, transitions)
    condition = policy.conditions([Case(observation, transitions)])
    x, z = (torch.as_tensor(a, dtype=torch.float32)[None] for a in (pair.x, pair.z))
    return {
        "embed_sl": lines,
        "embed_obs": observed.numpy(),
        "condition": condition[0].numpy(),
        "log_prob": policy.network.sampler.log_prob(x, condition)[0].numpy(),
        "inverse": policy.network.sampler.inverse(z, condition)[0].numpy(),
    }


@torch.no_grad()
def ours_in_double(policy, pair, condition):
    """The flow on the peer's condition, in double precision: the same function, or not."""
    sampler = deepcopy(policy.network.sampler).double()
    x, z = (torch.as_tensor(a, dtype=torch.float64)[None] for a in (pair.x, pair.z))
    condition = torch.as_tensor(condition, dtype=torch.float64)[None]
    return {
        "log_prob_64": sampler.log_prob(x, condition)[0].numpy(),
        "inverse_64": sampler.inverse(z, condition)[0].numpy(),
    }


def difference(stage, a, b):
    """Largest difference: relative, of numbers below 1 absolute; of parameters over the width of their bounds."""
    if a.shape != b.shape:
        raise ValueError(f"{stage}: ours has the shape {a.shape}, the peer's {b.shape}")
    a, b = a.astype(float), b.astype(float)
    if stage.startswith("inverse"):
        return float(np.max(np.abs(a - b) / np.ptp(BOUNDS, axis=1)))
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1.0)))


@torch.no_grad()
def our_milliseconds(policy, pair):
    observation, transitions = case_of(pair, policy.database)
    backbone = policy.network.backbone
    start = time.process_time()
    lines, observed = tokens(policy, observation, transitions)
    read = time.process_time()
    condition = backbone(backbone.patches(observed)[None], torch.from_numpy(lines)[None])
    encoded = time.process_time()
    policy.network.sampler.sample(N_DRAW, condition)
    drawn = time.process_time()
    return np.array([read - start, encoded - read, drawn - encoded]) * 1e3


def write_golden(folder, peer, pairs, answers, database, seed):
    """Inputs and the peer's numbers for a test that runs without it; of the spectra around lines, every 7th point."""
    content = archive(pairs)
    for i, pair in enumerate(pairs):
        _, lines = case_of(pair, database)
        content |= {
            f"{i}_frequency": lines.frequency,
            f"{i}_einstein_a": lines.einstein_a,
            f"{i}_g_upper": lines.g_upper,
            f"{i}_e_lower": lines.e_lower,
            f"{i}_temperature": lines.partition.temperature,
            f"{i}_partition": lines.partition.value,
        }
        content |= {f"{i}_peer_{stage}": answers[f"{i}_{stage}"] for stage in STAGES + DOUBLE}
        content[f"{i}_peer_embed_obs"] = answers[f"{i}_embed_obs"][:, :, ::7]
    np.savez_compressed(folder / "published_network.npz", **content)
    print(f"wrote {folder / 'published_network.npz'}; weights of size golden, seed {seed}, spectuner {peer}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer-python", required=True, help="python of the peer's environment")
    parser.add_argument("--size", choices=["small", "full", "golden"], default="small")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gain", type=float, default=0.5, help="how much the random densities vary")
    parser.add_argument(
        "--timed", type=int, default=3, help="pairs to time, from the fewest to the most lines"
    )
    parser.add_argument("--golden", type=Path, help="folder to write the golden file to (size golden)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    with (
        tempfile.TemporaryDirectory() as folder,
        LineDatabase.open() as database,
        Worker(options.peer_python, "policy_peer_worker.py") as peer,
    ):
        folder = Path(folder)
        limits = {"n_line": (1, 8), "n_channel": (80, 250)} if options.golden else {}
        pairs = random_pairs(database, options.pairs, options.seed, **limits)
        np.savez(folder / "pairs.npz", **archive(pairs))
        made = peer.ask(
            "make", path=str(folder / "network.pt"), size=options.size, seed=options.seed, gain=options.gain
        )
        peer.ask("load", path=str(folder / "network.pt"), catalogue=str(database.path))
        peer.ask("compute", path=str(folder / "pairs.npz"), out=str(folder / "answers.npz"))
        policy = PublishedPolicy.load(folder / "network.pt", database)
        with np.load(folder / "answers.npz") as answers:
            rows, counts = [], []
            for i, pair in enumerate(pairs):
                peers = {stage: answers[f"{i}_{stage}"] for stage in STAGES + DOUBLE}
                mine = ours(policy, pair) | ours_in_double(policy, pair, peers["condition"])
                found = {stage: difference(stage, mine[stage], peers[stage]) for stage in STAGES + DOUBLE}
                for stage in DOUBLE:
                    single = stage.removesuffix("_64")
                    found[f"{single}, the peer alone"] = difference(stage, peers[single], peers[stage])
                numbers = "  ".join(f"{stage} {found[stage]:.1e}" for stage in STAGES)
                print(f"{pair.species:24s} {len(mine['embed_sl']):4d} lines  {numbers}")
                rows.append(found)
                counts.append(len(mine["embed_sl"]))
            if options.golden:
                write_golden(options.golden, made["version"], pairs, answers, database, options.seed)
        worst = {stage: max(row[stage] for row in rows) for stage in rows[0]}
        print(
            f"\n{made['n_weight']} weights; largest difference over {len(pairs)} pairs, tolerance {TOLERANCE:.0e}:"
        )
        for stage in STAGES + DOUBLE:
            print(f"  {stage:12s} {worst[stage]:.1e}{'' if worst[stage] <= TOLERANCE else '  TOO LARGE'}")
        for stage in ("log_prob", "inverse"):
            print(f"  rounding of the peer's own {stage}: {worst[f'{stage}, the peer alone']:.1e}")

        print(
            f"\nms of CPU per spectrum, one thread, {N_DRAW} draws: tokens, encoder, draws; medians of three"
        )
        order = np.argsort(counts, kind="stable")
        chosen = order[np.linspace(0, len(pairs) - 1, options.timed).round().astype(int)]
        for i in chosen:
            pair, theirs, mine = pairs[i], [], []
            for _ in range(3):
                theirs.append(
                    peer.ask("timing", path=str(folder / "pairs.npz"), index=int(i), n_draw=N_DRAW)["ms"]
                )
                mine.append(our_milliseconds(policy, pair))
            a, b = np.median(theirs, axis=0), np.median(mine, axis=0)
            row = "  ".join(f"{x:8.1f} / {y:7.1f}" for x, y in zip(a, b, strict=True))
            print(
                f"  {pair.species:24s} {counts[i]:4d} lines, peer / ours: {row}   sum {a.sum():.1f} / {b.sum():.1f}"
            )
    raise SystemExit(0 if max(worst[stage] for stage in STAGES + DOUBLE) <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
