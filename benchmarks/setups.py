"""The two set-ups of the benchmarks, with synthetic data that neither side's model made.

``g327`` has the windows of section IV of Spectuner-D1 (Qiu et al.); ``iras16293b`` the range and the channels
of the data of that source in its Table 2. The data are an LTE slab on a grid much finer than the channels,
averaged over each channel, plus seeded Gaussian noise. Needs numpy only, so both environments can import it.
"""

import sqlite3
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

C_KMS = 299_792.458
H_OVER_K = 4.799_243_073e-5  # K per MHz
OPACITY = 35.760_332_3  # c^2 / (8 pi), for N in cm^-2 and frequencies in MHz
KELVIN_PER_WAVENUMBER = 1.438_777  # K cm
FWHM_TO_SIGMA = 0.424_660_900_1
T_CMB = 2.726  # K, as the peer has it

PARAMETERS = ("filling_factor", "T_ex", "N_tot", "fwhm", "v_off")
BOUNDS = np.array([[-3.0, -0.00043], [1.0, 1000.0], [12.0, 22.0], [-0.5, 1.5], [-12.0, 12.0]])
"""Of Table 1 of the paper, in the scales of the fit: log10, K, log10 cm^-2, log10 km/s, km/s."""


@dataclass(frozen=True)
class Setup:
    """Channels, noise and true parameters."""

    windows: tuple  # of (first MHz, last MHz, number of channels)
    sigma: float  # K
    beam: float  # arcsec
    truth: dict  # species -> filling factor, T_ex, N_tot, fwhm, v_off


SETUPS = {
    "g327": Setup(
        windows=((215_565.0, 217_273.0, 3496), (217_572.0, 219_271.0, 3496), (229_611.0, 231_319.0, 1748)),
        sigma=0.048,
        beam=1.2,
        truth={
            "CH3OH;v=0;": (0.5, 150.0, 1e18, 5.0, 0.4),
            "CH3OCHO;v=0;": (0.5, 130.0, 2e17, 5.0, -0.3),
            "CH3OCH3;v=0;": (0.5, 110.0, 4e17, 5.0, 0.1),
            "C2H5CN;v=0;": (0.4, 140.0, 4e16, 6.0, 1.0),
            "C2H3CN;v=0;": (0.4, 150.0, 2e16, 6.0, 0.6),
        },
    ),
    "iras16293b": Setup(
        windows=tuple(
            (232_050.0 + 437.5 * i, 232_050.0 + 437.5 * i + 0.12208 * (n - 1), n)
            for i, n in enumerate([3582] * 12 + [3581] * 8)
        ),
        sigma=0.25,
        beam=0.486,
        truth={
            "CH3OH;v=0;": (0.5, 150.0, 1e18, 1.2, 0.1),
            "CH3OCHO;v=0;": (0.5, 120.0, 1e17, 1.0, -0.1),
            "CH3OCH3;v=0;": (0.5, 110.0, 2e17, 1.1, 0.0),
            "C2H5CN;v=0;": (0.4, 130.0, 1e16, 1.3, 0.2),
            "C2H3CN;v=0;": (0.4, 130.0, 1e16, 1.3, -0.2),
        },
    ),
}


class Lines(NamedTuple):
    """Rows of the catalogue for one species."""

    nu: np.ndarray  # MHz
    einstein_a: np.ndarray  # s^-1
    g_upper: np.ndarray
    e_lower: np.ndarray  # K
    temperature: np.ndarray  # K
    partition: np.ndarray


def read_lines(catalogue, species):
    """Lines and partition function of a species from an SQLite file in the VAMDC layout."""
    with sqlite3.connect(catalogue) as connection:
        rows = np.array(
            connection.execute(
                "select T_Frequency, T_EinsteinA, T_UpperStateDegeneracy, T_EnergyLower from transitions "
                "where T_Name = ? order by T_Frequency",
                (species,),
            ).fetchall(),
            dtype=float,
        )
        cursor = connection.execute("select * from partitionfunctions where PF_Name = ?", (species,))
        values = cursor.fetchone()
        columns = [c[0] for c in cursor.description]
    pairs = sorted(
        (float(c[3:].replace("_", ".")), float(q))
        for c, q in zip(columns, values, strict=True)
        if c.startswith("PF_") and c[3].isdigit() and q is not None
    )
    temperature, partition = np.array(pairs).T
    return Lines(
        rows[:, 0], rows[:, 1], rows[:, 2], KELVIN_PER_WAVENUMBER * rows[:, 3], temperature, partition
    )


def planck(nu, t):
    return H_OVER_K * nu / np.expm1(H_OVER_K * nu / t)


def channel_means(nu, lines, theta, oversample=40):
    """Brightness above the background, averaged over channels by a midpoint rule on a fine grid."""
    eta, t_ex, n_tot, fwhm, v_off = theta
    q = np.exp(np.interp(np.log(t_ex), np.log(lines.temperature), np.log(lines.partition)))
    depth = OPACITY * n_tot * lines.einstein_a * lines.g_upper / (q * lines.nu**2)
    depth *= np.exp(-lines.e_lower / t_ex) * -np.expm1(-H_OVER_K * lines.nu / t_ex)
    centre = lines.nu * (1 - v_off / C_KMS)
    sigma = fwhm / C_KMS * FWHM_TO_SIGMA * centre
    edges = np.concatenate(
        [[1.5 * nu[0] - 0.5 * nu[1]], 0.5 * (nu[1:] + nu[:-1]), [1.5 * nu[-1] - 0.5 * nu[-2]]]
    )
    fine = (edges[:-1, None] + np.diff(edges)[:, None] * (np.arange(oversample) + 0.5) / oversample).ravel()
    tau = np.zeros(fine.size)
    for a, m, s in zip(depth, centre, sigma, strict=True):
        first, last = np.searchsorted(fine, [m - 9 * s, m + 9 * s])
        x = (fine[first:last] - m) / s
        tau[first:last] += a / (s * np.sqrt(2 * np.pi)) * np.exp(-0.5 * x * x)
    bright = eta * (planck(fine, t_ex) - planck(fine, T_CMB)) * -np.expm1(-tau)
    return bright.reshape(nu.size, oversample).mean(axis=1)


def write_case(path, setup_name, species, catalogue, seed=0):
    """Write the channels, the data and what they were made of, for both workers."""
    setup = SETUPS[setup_name]
    lines = read_lines(catalogue, species)
    # crc32: the same stream in every process, which hash() of a string is not
    rng = np.random.default_rng([seed, zlib.crc32(f"{setup_name} {species}".encode())])
    arrays = {
        "species": species,
        "catalogue": str(catalogue),
        "sigma": setup.sigma,
        "beam": setup.beam,
        "theta": np.array(setup.truth[species]),
        "bounds": BOUNDS,
        "n_window": len(setup.windows),
    }
    for i, (first, last, n) in enumerate(setup.windows):
        nu = np.linspace(first, last, n)
        clean = channel_means(nu, lines, setup.truth[species])
        arrays |= {
            f"nu_{i}": nu,
            f"clean_{i}": clean,
            f"data_{i}": clean + setup.sigma * rng.standard_normal(n),
        }
    np.savez(path, **arrays)


class Case(NamedTuple):
    """What `write_case` wrote."""

    species: str
    catalogue: str
    sigma: float
    beam: float  # arcsec
    theta: np.ndarray
    bounds: np.ndarray
    nu: list
    data: list
    clean: list

    @property
    def vector(self):
        """True parameters in the scales of the fit."""
        return to_vector(self.theta)


def to_vector(theta):
    eta, t_ex, n_tot, fwhm, v_off = theta
    return np.array([np.log10(eta), t_ex, np.log10(n_tot), np.log10(fwhm), v_off])


def to_theta(vector):
    return np.array([10.0 ** vector[0], vector[1], 10.0 ** vector[2], 10.0 ** vector[3], vector[4]])


def read_case(path):
    with np.load(path) as stored:
        n = range(int(stored["n_window"]))
        return Case(
            str(stored["species"]),
            str(stored["catalogue"]),
            float(stored["sigma"]),
            float(stored["beam"]),
            stored["theta"],
            stored["bounds"],
            [stored[f"nu_{i}"] for i in n],
            [stored[f"data_{i}"] for i in n],
            [stored[f"clean_{i}"] for i in n],
        )
