"""Measure fits of cubes, pixel by pixel: cost, quality of the minima, growth, memory, blends, and the peer beside it.

    python benchmarks/cubes.py fits --peer-python PATH --out results.json
    python benchmarks/cubes.py scaling | big | joint | starts

The cubes are simulated hot cores (`spectuner_ext.pipeline.cubes.hot_core`); `--data FOLDER` keeps and reuses them.
Every measurement is a fresh process with one thread for numerics. See `README.md` for what the numbers mean.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import cubes_compare
from worker import Worker

from spectuner_ext.pipeline.cubes.hot_core import SPECIES
from spectuner_ext.spectroscopy import LineDatabase

LOSSES = ("chi2", "pm")


def ask(task, **options):
    """One answer of a fresh process of ours."""
    with Worker(sys.executable, "cubes_worker.py") as ours:
        return ours.ask(task, **options)


def stem_of(data, name, size, species, seed=1):
    """Files of a simulated cube, made if they are not there."""
    stem = str(data / f"{name}_{size if isinstance(size, int) else 'x'.join(map(str, size))}" / "cube")
    ask("make", stem=stem, size=size, species=species, seed=seed)
    return stem


def fits(options, data, out, results):
    """One species at a time: cost of the parts, quality, and the peer on some of the pixels."""
    catalogue = None
    if options.peer_python:
        with LineDatabase.open() as database:
            # a copy, since the cached file goes when the package brings a newer catalogue
            catalogue = shutil.copy(database.path, out)
    for species in options.species:
        stem = stem_of(data, species.lower(), options.size, [species])
        for loss in options.losses:
            title, target = f"{species} {loss}", str(out / f"{species}_{loss}")
            common = {"stem": stem, "species": [species], "loss": loss}
            ask("fit", **common, out=None)  # compiles what is not compiled yet
            results[title] = row = {"load": os.getloadavg()[0]}
            row["one core"] = ask("fit", **common, out=target)
            show_cost(title, row["one core"])
            if options.wall:
                row["two cores"] = ask("fit", **common, out=None, workers=2)
                show_wall(row["two cores"])
            row["products"] = ask("products", stem=stem, out=target)
            show_products(row["products"])
            longer = options.longer[loss]
            row |= ask("quality", stem=stem, species=species, loss=loss, out=target, long_pixels=longer)
            show_quality(row)
            save(options, results)
        if options.peer_python:
            per_stratum = options.peer_pixels.get(species, 4)
            found = cubes_compare.compare(
                options.peer_python, stem, species, catalogue, per_stratum, options.losses, str(out)
            )
            results.setdefault("peer", {})[species] = found
            cubes_compare.show(species, found)
            save(options, results)


def show_cost(title, row):
    n, s = row["n_pixel"], row["seconds"]
    print(
        f"\n{title}: fit {1e3 * s['fit'] / n:.3f} ms CPU per pixel ({s['fit']:.1f} s for {n}; of it sweeps "
        f"{s['sweeps']:.1f} s, judging {s['judgement'] + s['limits']:.1f} s), "
        f"{row['evaluations']:.0f} evaluations per pixel\n"
        f"  reading {s['reading']:.2f} s, preprocessing {s['noise'] + s['examine']:.2f} s (noise of the cube "
        f"{s['noise']:.2f}), templates {s['templates']:.2f} s; all {row['cpu']:.1f} s CPU; peak memory "
        f"{row['memory']:.0f} MB ({row['memory_before']:.0f} before)"
    )
    stages = ", ".join(f"{s['name']} {s['n_pixel']} -> {s['n_changed']}" for s in row["stages"] or ())
    print(f"  stages, pixels looked at -> changed: {stages}", flush=True)


def show_wall(row):
    print(
        f"  two cores: {row['wall']:.1f} s wall, {row['cpu']:.1f} s CPU (with reading and preprocessing; other "
        f"processes used {row['others']:.1f} s of CPU meanwhile)"
    )


def show_products(row):
    parts = ", ".join(f"{name} {s['cpu']:.2f} s CPU ({s['wall']:.2f} s wall)" for name, s in row.items())
    print(f"  writing: {parts}", flush=True)


def show_quality(row):
    for title, shares in row["shares"].items():
        print(f"  {title}: " + ", ".join(f"{k} {v:.4g}" for k, v in shares.items()))
    for name, p in row["pulls"].items():
        if p["n"]:
            print(
                f"  pulls of {name}: n {p['n']}, mean {p['mean']:.3f}, median {p['median']:.3f}, deviation "
                f"{p['deviation']:.3f}, robust width {p['robust_width']:.3f}, beyond 5: {p['beyond_5']}"
            )
    print("  flags, all and S/N > 5:", ", ".join(f"{k} {a} {b}" for k, (a, b) in row["flags"].items()))
    sys.stdout.flush()


def scaling(options, data, out, results):
    """Cost and memory of 10^2 to 10^5 pixels."""
    species, loss = options.species[0], options.losses[0]
    for size in options.sizes:
        stem = stem_of(data, species.lower(), size, [species])
        common = {"stem": stem, "species": [species], "loss": loss, "out": None}
        if not results:
            ask("fit", **common)
        results[str(size)] = row = ask("fit", **common)
        n, s = row["n_pixel"], row["seconds"]
        print(
            f"{n:7d} pixels: fit {s['fit']:.2f} s ({1e3 * s['fit'] / n:.3f} ms per pixel), preprocessing "
            f"{s['examine']:.2f} s ({1e3 * s['examine'] / n:.3f} ms) and noise of the cube {s['noise']:.2f} s, "
            f"reading {s['reading']:.2f} s, all CPU {row['cpu']:.1f} s, peak memory {row['memory']:.0f} MB "
            f"({row['memory_before']:.0f} before)",
            flush=True,
        )
        save(options, results)


def big(options, data, out, results):
    """Peak memory for a cube of many gigabytes, of which only a strip of rows holds spectra."""
    species = options.species[0]
    channels = 8740
    edge = int((options.gigabytes * 1e9 / (4 * channels)) ** 0.5)
    rows = max(edge // 10, 1)
    strip = stem_of(data, f"{species.lower()}_strip", (rows, edge), [species])
    stem = str(data / f"{species.lower()}_big" / "cube")
    made = ask("enlarge", stem=stem, strip=strip, rows=edge)
    common = {"stem": stem, "species": [species], "loss": options.losses[0], "min_peaks": None}
    ask("fit", **(common | {"stem": strip}), out=None)
    # the warm-up would read the cube's middle only; memory is what counts here
    results.update(
        made, fit=ask("fit", **common, out=None, workers=2, options={"store": str(out / "big.zarr")})
    )
    row = results["fit"]
    print(
        f"{edge} x {edge} pixels, {made['size'] / 1e9:.2f} GB in {made['on_disk'] / 1e9:.2f} GB of disk: peak memory "
        f"{row['memory']:.0f} MB ({row['memory_before']:.0f} before), {row['n_pixel']} pixels fitted, CPU "
        f"{row['cpu']:.1f} s, wall {row['wall']:.1f} s"
    )
    save(options, results)


def joint(options, data, out, results):
    """Five species with blends: all together, and each alone."""
    species = list(SPECIES)
    stem = stem_of(data, "joint", options.size, species)
    for loss in options.losses:
        together = str(out / f"joint_{loss}")
        row = results[loss] = {"together": ask("fit", stem=stem, species=species, loss=loss, out=together)}
        show_cost(f"{len(species)} species together, {loss}", row["together"])
        alone = []
        for name in species:
            alone.append(str(out / f"alone_{name}_{loss}"))
            row[name] = ask("fit", stem=stem, species=[name], loss=loss, out=alone[-1])
            show_cost(f"{name} alone, {loss}", row[name])
        row["tables"] = ask("blends", stem=stem, together=together, alone=alone)
        show_blends(row["tables"])
        save(options, results)


STARTS = {
    "screened draws": {},
    "neighbours": {"initial": "neighbours"},
    "policy": {"initial": "policy"},
    "policy, every 4th": {"initial": "policy", "policy_every": 4},
}
"""Ways to start the pixels of a cube."""


def starts(options, data, out, results):
    """One species at a time from every kind of start: cost of the fit, and how good the minima are."""
    for species in options.species:
        stem = stem_of(data, species.lower(), options.size, [species])
        for loss in options.losses:
            for name, how in STARTS.items():
                title, target = (
                    f"{species} {loss}, {name}",
                    str(out / f"{species}_{loss}_{name.split(',')[0]}"),
                )
                common = {"stem": stem, "species": [species], "loss": loss}
                results[title] = row = ask("fit", **common, out=target, options=how)
                show_cost(title, row)
                row |= ask("quality", stem=stem, species=species, loss=loss, out=target, long_pixels=0)
                show_quality(row)
                save(options, results)


def show_blends(tables):
    for species, sides in tables.items():
        for side, t in sides.items():
            print(
                f"{species}, {side}: missed {t['missed']} of {t['n_there']}, false {t['false']} of {t['n_absent']}, "
                f"found {t['found']}, velocity wrong by an FWHM {t['velocity wrong by an FWHM']}"
            )
            for name, p in t.items():
                if isinstance(p, dict):
                    print(
                        f"    {name}: n {p['n']}, bias {p['bias']:.3g}, scatter {p['scatter']:.3g}, deviation "
                        f"{p['deviation']:.3g}, pull median {p['pull_median']:.2f}, beyond 5: {p['pull_beyond_5']}"
                    )
    sys.stdout.flush()


def save(options, results):
    if options.out:
        kept = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "versions": {name: version(name) for name in ("numpy", "scipy", "numba", "spectuner-ext")},
            options.task: results,
        }
        options.out.write_text(json.dumps(kept, indent=1))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["fits", "scaling", "big", "joint", "starts"])
    parser.add_argument("--peer-python", help="interpreter of an environment with spectuner (fits)")
    parser.add_argument("--out", type=Path, help="write all numbers to this JSON file")
    parser.add_argument("--data", type=Path, help="folder of the simulated cubes; a temporary one by default")
    parser.add_argument("--work", type=Path, help="folder of the maps; a temporary one by default")
    parser.add_argument("--size", type=int, help="pixels along an edge (100; joint 32)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 32, 100, 316], help="edges (scaling)")
    parser.add_argument("--species", nargs="+", default=["CH3OH", "CH3OCHO"], choices=SPECIES)
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--gigabytes", type=float, default=8.0, help="of the large cube (big)")
    parser.add_argument("--no-wall", dest="wall", action="store_false", help="no run on two cores (fits)")
    parser.add_argument(
        "--longer", type=int, nargs=2, default=[10**9, 500], metavar=("CHI2", "PM"),
        help="pixels that are searched much longer for a better minimum (fits)",
    )  # fmt: skip
    parser.add_argument(
        "--peer-pixels", type=int, nargs=2, default=[10, 4], metavar=("CH3OH", "OTHER"),
        help="pixels of each of four strata of S/N that the peer fits (fits)",
    )  # fmt: skip
    options = parser.parse_args()
    options.longer = dict(zip(LOSSES, options.longer, strict=True))
    options.peer_pixels = dict.fromkeys(SPECIES, options.peer_pixels[1]) | {"CH3OH": options.peer_pixels[0]}
    options.size = options.size or (32 if options.task == "joint" else 100)
    with tempfile.TemporaryDirectory() as folder:
        data, work = options.data or Path(folder) / "data", options.work or Path(folder) / "work"
        for path in (data, work):
            path.mkdir(parents=True, exist_ok=True)
        tasks = {"fits": fits, "scaling": scaling, "big": big, "joint": joint, "starts": starts}
        tasks[options.task](options, data, work, {})


if __name__ == "__main__":
    main()
