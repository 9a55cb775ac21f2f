"""Fits of the same pixels of a cube by this package and by its peer, in turns; what each thinks of the other's."""

import sys

import numpy as np
from worker import Worker

EDGES = (3.0, 5.0, 20.0)
"""Strata of the true peak over the noise."""

METHODS = {"chi2": ("slsqp",), "pm": ("slsqp", "nelder-mead")}


def compare(peer_python, stem, species, catalogue, per_stratum, losses, folder, seed=11):
    """One table per loss: CPU time per pixel of both, and losses of both by both."""
    path = f"{folder}/{species}_pixels.npz"
    with (
        Worker(peer_python, "cubes_peer.py") as peer,
        Worker(sys.executable, "cubes_worker.py") as ours,
    ):
        counts = [per_stratum] * (len(EDGES) + 1)
        ours.ask("pick", stem=stem, species=species, counts=counts, edges=EDGES, seed=seed, path=path)
        version = peer.ask("load", path=path, catalogue=catalogue)["version"]
        with np.load(path) as stored:
            pixels = {name: stored[name] for name in stored.files if not name.startswith("data")}
        tables = {"version": version, "n": int(pixels["weight"].size)}
        for loss in losses:
            tables[loss] = _of_loss(peer, ours, loss, pixels)
    return tables


def _of_loss(peer, ours, loss, pixels):
    n, stratum, weight = pixels["weight"].size, pixels["stratum"], pixels["weight"]
    methods = METHODS[loss]
    theirs = {m: [] for m in methods}
    seconds = {k: [] for k in np.unique(stratum).tolist()}
    for i in range(n):
        for m in methods:
            theirs[m].append(peer.ask("fit", loss=loss, method=m, pixel=i, seed=i))
        k = int(stratum[i])
        timed = ours.ask("time_picked", loss=loss, stratum=k)
        seconds[k].append((timed["seconds"], timed["seconds"] - timed["judging"]))
    own_seconds, own_search = np.array([np.median(seconds[k], axis=0) for k in stratum.tolist()]).T
    own = {
        clip: ours.ask("fit_picked", loss=loss, clip=clip)
        for clip in ((False, True) if loss == "pm" else (False,))
    }
    table = {
        "ours": _cost(own_seconds, own[False]["evaluations"], weight) | {"detected": own[False]["detected"]},
        "search": _cost(own_search, own[False]["evaluations"], weight),
        "ratio": pixels["ratio"].tolist(),
        "pixel": pixels["pixel"].tolist(),
    }
    # the peer clips negative data, so its loss is compared with that of our fit of clipped data
    like = own[loss == "pm"]
    unit = 2.0 / np.mean(pixels["sigma"] ** 2, axis=1) if loss == "chi2" else 1.0
    at_ours = np.array(peer.ask("judge", loss=loss, x=like["x"])["loss"])
    from_ours = np.array(peer.ask("refine", loss=loss, x=like["x"])["loss"])
    for m, rows in theirs.items():
        x = [r["x"] for r in rows]
        cost = _cost([r["seconds"] for r in rows], [r["evaluations"] for r in rows], weight)
        by_theirs = np.array([r["loss"] for r in rows])
        table[m] = cost | {
            "setup": float(np.mean([r["setup"] for r in rows])),
            "gain": cost["seconds"] / table["ours"]["seconds"],
            "gain, weighted": cost["seconds, weighted"] / table["ours"]["seconds, weighted"],
            "gain of the search": cost["seconds"] / table["search"]["seconds"],
            "gain of the search, weighted": cost["seconds, weighted"] / table["search"]["seconds, weighted"],
            "excess by our loss": (_judged(ours, loss, False, x) - own[False]["loss"]).tolist(),
            "ours above theirs by their loss": ((at_ours - by_theirs) * unit).tolist(),
            "theirs above best by their loss": (
                (by_theirs - np.minimum.reduce([by_theirs, at_ours, from_ours])) * unit
            ).tolist(),
        }
        if loss == "pm":
            table[m]["excess by our clipped loss"] = (
                _judged(ours, loss, True, x) - own[True]["loss"]
            ).tolist()
    table["scale"] = np.abs(own[False]["loss"]).tolist()
    return table


def _cost(seconds, evaluations, weight):
    seconds = np.asarray(seconds)
    return {
        "seconds": float(np.mean(seconds)),
        "seconds, weighted": float(np.average(seconds, weights=weight)),
        "evaluations": float(np.mean(evaluations)),
    }


def _judged(ours, loss, clip, x):
    return np.array(ours.ask("judge_picked", loss=loss, clip=clip, x=x)["loss"])


def show(species, tables):
    print(f"{species}: beside spectuner {tables['version']}, {tables['n']} pixels in strata of S/N")
    for loss in METHODS:
        if loss not in tables:
            continue
        t = tables[loss]
        o = t["ours"]
        print(
            f"  {loss}: ours {1e3 * o['seconds']:.3f} ms ({1e3 * o['seconds, weighted']:.3f} weighted to the cube), "
            f"{o['evaluations']:.0f} evaluations; of it the search {1e3 * t['search']['seconds']:.3f} ms "
            f"({1e3 * t['search']['seconds, weighted']:.3f})"
        )
        small = 1e-3 if loss == "chi2" else 1e-3 * np.array(t["scale"])
        same = 0.1 if loss == "chi2" else 0.01 * np.array(t["scale"])
        for m in METHODS[loss]:
            p = t[m]
            print(
                f"    peer {m}: {1e3 * p['seconds']:.1f} ms ({1e3 * p['seconds, weighted']:.1f}), "
                f"{p['evaluations']:.0f} evaluations, setup {1e3 * p['setup']:.1f} ms apart; "
                f"ratio {p['gain']:.0f} ({p['gain, weighted']:.0f}), to the search alone "
                f"{p['gain of the search']:.0f} ({p['gain of the search, weighted']:.0f})"
            )
            for key in ("excess by our loss", "excess by our clipped loss"):
                if key in p:
                    e = np.array(p[key])
                    print(
                        f"      {key}: median {np.median(e):.4g}, ours worse in {np.sum(e < -small)} of {e.size} "
                        f"(worst {e.min():.3g}), equal in {np.sum(np.abs(e) <= same)}, "
                        f"peer worse in {np.sum(e > same)}"
                    )
            e = np.array(p["ours above theirs by their loss"])
            best = np.array(p["theirs above best by their loss"])
            print(
                f"      by the peer's loss: ours higher in {np.sum(e > same)}, lower in {np.sum(e < -same)}; "
                f"the peer at its own best known in {np.sum(best <= same)}"
            )
    sys.stdout.flush()
