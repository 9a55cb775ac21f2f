"""A made-up job of XCLASS with every file that a fit of a spectrum leaves: no XCLASS had a part in it.

The model spectra are made by the formulas below, with conventions that a test chooses, from the lines of a
catalogue. As a program: ``python made_up_job.py FOLDER`` writes a job there.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from spectuner_ext.spectroscopy import LineDatabase

C = 299_792.458  # km/s
H_OVER_K = 6.62607015e-34 / 1.380649e-23 * 1e6  # K / MHz
NAME = "job__24-12-2023__18-30-05__1234567"
V_LSR, NOISE = 45.0, 0.05
BANDS = {
    "band_a": (241_540.0, 241_860.0, 0.6),
    "band_b": (235_830.0, 236_000.0, 0.3),
    "band_c": (239_000.0, 239_130.0, 0.5),
}
TELESCOPES = {"band_a": (12.0, False), "band_b": (2.0, True), "band_c": (30.0, False)}
BACKGROUND = {"band_a": (3.0, 1.5), "band_b": (1.0, 0.0), "band_c": (0.0, 0.0)}
FITTED = [
    ("CH3OH;v=0;", 5.0, 150.0, 4e17, 5.0, 0.8),
    ("CH3OH;v=0;", 14.0, 60.0, 2e16, 3.0, -3.5),
    ("CH3CN;v=0;", 5.0, 120.0, 2e15, 6.0, 0.2),
]
BEFORE = [
    ("CH3OH;v=0;", 4.0, 100.0, 1e17, 4.0, 0.0),
    ("CH3OH;v=0;", 10.0, 80.0, 1e16, 4.0, -3.0),
    ("CH3CN;v=0;", 5.0, 120.0, 1e15, 5.0, 0.0),
]
RATIO = ("C-13-H3OH;v=0;", "CH3OH;v=0;", 30.0)


@dataclass
class Made:
    """Conventions of the made-up program."""

    t_cmb: float = 2.725
    average: bool = False
    planck: bool = True
    beam_as_arcsec: bool = False
    no_velocity: bool = False
    factor: float = 1.0  # on all optical depths


def planck(t, nu, made):
    if not made.planck:
        return np.full_like(nu, t)
    return H_OVER_K * nu / np.expm1(H_OVER_K * nu / t) if t > 0 else np.zeros_like(nu)


def spectrum(nu, band, database, made):
    """Model at sky frequencies [MHz]: the detection equation with the continuum, components added."""
    size, is_beam = TELESCOPES[band]
    level, slope = BACKGROUND[band]
    low, high, _ = BANDS[band]
    continuum = level * (nu / low) ** slope
    total = continuum.copy()
    rare = [(RATIO[0], s, t, n / RATIO[2], w, v) for name, s, t, n, w, v in FITTED if name == RATIO[1]]
    for name, source, t, n, width, v in [*FITTED, *rare]:
        lines = database.select(name, [(low - 100, high + 100)])
        q = np.interp(t, lines.partition.temperature, lines.partition.value)
        velocity = v + (0.0 if made.no_velocity else V_LSR)
        tau = np.zeros_like(nu)
        for f, a, g, e in zip(lines.frequency, lines.einstein_a, lines.g_upper, lines.e_lower, strict=True):
            centre = f * (1 - velocity / C)
            sigma = width / C / np.sqrt(8 * np.log(2)) * centre
            total_tau = 35.7603322 * n * a * g / q / f**2 * np.exp(-e / t) * (1 - np.exp(-H_OVER_K * f / t))
            profile = np.exp(-0.5 * ((nu - centre) / sigma) ** 2) / np.sqrt(2 * np.pi) / sigma
            tau += made.factor * total_tau * profile
        if is_beam or made.beam_as_arcsec:
            beam = np.full_like(nu, size)
        else:
            beam = 1.22 * C * 1e3 / (nu * 1e6 * size) * 180 / np.pi * 3600
        eta = source**2 / (source**2 + beam**2)
        total += eta * (planck(t, nu, made) - planck(made.t_cmb, nu, made) - continuum) * -np.expm1(-tau)
    return total


def channels(band):
    """Channel centres in MHz."""
    return np.arange(*BANDS[band])


def model(band, database, made):
    """Model in the channels."""
    nu = channels(band)
    if not made.average:
        return spectrum(nu, band, database, made)
    step = BANDS[band][2]
    offsets = (np.arange(40) + 0.5) / 40 - 0.5
    return np.mean([spectrum(nu + o * step, band, database, made) for o in offsets], axis=0)


def fit_molfit(rows):
    lines, done = ["% made up for tests; no XCLASS has written it"], set()
    for name, *values in rows:
        if name not in done:
            done.add(name)
            lines.append(f"{name}  {sum(r[0] == name for r in rows)}")
        size, t, n, width, v = values
        size_flag = "n" if name == "CH3CN;v=0;" else "y"
        lines.append(
            f"  {size_flag} 0.1 50.0 {size}   y 10.0 400.0 {t}   y 1.0e+13 1.0e+19 {n:.6e}   y 1.0 15.0 {width}   "
            f"y -10.0 10.0 {v}   c"
        )
    return "\n".join(lines) + "\n"


def observation_xml(folder):
    files = []
    for band, (low, high, step) in BANDS.items():
        size, is_beam = TELESCOPES[band]
        level, slope = BACKGROUND[band]
        files.append(f"""  <file>
    <FileNamesExpFiles>{folder / band}.dat</FileNamesExpFiles>
    <ImportFilter>xclassASCII</ImportFilter>
    <NumberExpRanges>1</NumberExpRanges>
    <FrequencyRange>
      <MinExpRange>{low}</MinExpRange>
      <MaxExpRange>{high}</MaxExpRange>
      <StepFrequency>{step}</StepFrequency>
      <t_back_flag>True</t_back_flag>
      <BackgroundTemperature>{level}</BackgroundTemperature>
      <TemperatureSlope>{slope}</TemperatureSlope>
      <HydrogenColumnDensity>0.0</HydrogenColumnDensity>
      <DustBeta>0.0</DustBeta>
      <Kappa>0.0</Kappa>
    </FrequencyRange>
    <GlobalvLSR>{V_LSR}</GlobalvLSR>
    <TelescopeSize>{size}</TelescopeSize>
    <Inter_Flag>{is_beam}</Inter_Flag>
    <ErrorY>yes</ErrorY>
    <NumberHeaderLines>0</NumberHeaderLines>
    <SeparatorColumns> </SeparatorColumns>
  </file>""")
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            "<ExpFiles>",
            "  <!-- made up for tests -->",
            f"  <NumberExpFiles>{len(files)}</NumberExpFiles>",
            *files,
            "  <iso_flag>True</iso_flag>",
            f"  <IsoTableFileName>{folder / 'isoratios.txt'}</IsoTableFileName>",
            "</ExpFiles>",
            "",
        ]
    )


ALGORITHM = """<?xml version="1.0" encoding="UTF-8"?>
<FitControl>
  <NumberOfFitAlgorithms>1</NumberOfFitAlgorithms>
  <algorithm>
    <FitAlgorithm>Levenberg-Marquardt</FitAlgorithm>
    <number_iterations>50</number_iterations>
    <NumberProcessors>2</NumberProcessors>
    <limit_of_chi2>1e-6</limit_of_chi2>
    <SaveChi2>yes</SaveChi2>
  </algorithm>
</FitControl>
"""


def transition_rows(database):
    rows = ["% frequency shifted intensity integrated E_low g_u A upper lower name"]
    for name in dict.fromkeys([*(row[0] for row in FITTED), RATIO[0]]):
        for low, high, _ in BANDS.values():
            lines = database.select(name, [(low - 20, high + 60)])
            strong = lines.e_lower < 500
            for f, a, g, e in zip(
                *(x[strong] for x in (lines.frequency, lines.einstein_a, lines.g_upper, lines.e_lower)),
                strict=True,
            ):
                rows.append(
                    f"{f:.4f} {f * (1 - V_LSR / C):.4f} 0.1 1.0 {e:.6f} {g:.0f} {a:.8e} up; low; {name}"
                )
    return "\n".join(rows) + "\n"


def write_job(folder, made=None, *, seed=3):
    """Write the job into a folder, which is made, and return it."""
    made = made or Made()
    folder = Path(folder) / NAME
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    chi2 = 0.0
    with LineDatabase.open() as database:
        for band in BANDS:
            nu, clean = channels(band), model(band, database, made)
            data = clean + rng.normal(0, NOISE, nu.size)
            chi2 += float(np.sum((data - clean) ** 2 / NOISE**2))
            np.savetxt(
                folder / f"{band}.dat", np.column_stack([nu, data, np.full(nu.size, NOISE)]), fmt="%.9g"
            )
            np.savetxt(folder / f"{band}.LM__call_1.out.dat", np.column_stack([nu, clean]), fmt="%.12g")
        (folder / "transition_energies.dat").write_text(transition_rows(database))
    (folder / "molecules.molfit").write_text(fit_molfit(BEFORE))
    (folder / "molecules__LM__call_1.out.molfit").write_text(fit_molfit(FITTED))
    (folder / "isoratios.txt").write_text("% made up\n{}  {}  {}\n".format(*RATIO))
    (folder / "my-isoratios.LM__call_1.out.input").write_text("% made up\n{}  {}  {}\n".format(*RATIO))
    (folder / "obs.xml").write_text(observation_xml(folder))
    (folder / "algorithm.xml").write_text(ALGORITHM)
    free = [x for name, *v in FITTED for x in (v if name != "CH3CN;v=0;" else v[1:])]
    log = [" ".join(f"{x:.6e}" for x in [k, chi2 * (3 - k), *free]) for k in (1, 2)]
    (folder / "fit__LM__call_1.log.chi2").write_text("n chi2 parameters\n" + "\n".join(log) + "\n")
    name = "BestResult___parameter__T_rot___molecule__CH3OH_v=0____component__1.fits"
    fits.PrimaryHDU(np.full((3, 4), 150.0)).writeto(folder / name)
    return folder


if __name__ == "__main__":
    print(write_job(sys.argv[1]))
