"""The picture of a posterior: what it shows is in the tables, and it comes and goes with the samples."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable, vstack

from spectuner_ext.pipeline import posterior_plot
from spectuner_ext.pipeline.posterior_plot import AXES, draw_posterior, write_posterior_png

N_SAMPLE = 400
N_PANEL = len(AXES) * (len(AXES) + 1) // 2


def samples_of(fit, species, seed):
    rng = np.random.default_rng(seed)
    log_eta, product = rng.uniform(-2.0, -0.1, N_SAMPLE), rng.normal(15.0, 0.1, N_SAMPLE)
    table = QTable({"fit": np.full(N_SAMPLE, fit), "species": np.full(N_SAMPLE, species)})
    table["filling_factor"] = 10.0**log_eta * u.one
    table["T_ex"] = rng.lognormal(4.6, 0.2, N_SAMPLE) * u.K
    table["N_tot"] = 10.0 ** (product - log_eta) * u.cm**-2
    table["fwhm"] = rng.normal(4.0, 0.1, N_SAMPLE) * u.km / u.s
    table["v_off"] = rng.normal(0.3, 0.05, N_SAMPLE) * u.km / u.s
    table["N_beam"] = 10.0**product * u.cm**-2
    return table


def optimum(fit, species, **values):
    numbers = {"filling_factor": 0.1, "T_ex": 100.0, "N_tot": 1e16, "fwhm": 4.1, "v_off": 0.25} | values
    table = QTable({"fit": [fit], "species": [species]})
    units = {"T_ex": u.K, "N_tot": u.cm**-2, "fwhm": u.km / u.s, "v_off": u.km / u.s}
    for name, value in numbers.items():
        table[name] = [value] * units.get(name, u.one)
    return table


@pytest.fixture
def two_species():
    return {
        "posterior_samples": vstack([samples_of(1, "CH3OH;v=0;", 1), samples_of(1, "CH3CN;v=0;", 2)]),
        "parameters": vstack([optimum(1, "CH3OH;v=0;"), optimum(1, "CH3CN;v=0;", fwhm=3.9)]),
    }


def diagonal(figure, species=0):
    """Axes with the histogram of each quantity."""
    axes = figure.axes[species * (N_PANEL + 1) :][:N_PANEL]
    return dict(zip(AXES, (axes[k * (k + 3) // 2] for k in range(len(AXES))), strict=True))


def test_lines_are_the_quantiles_and_the_optimum(two_species):
    figure = draw_posterior(two_species)
    part = two_species["posterior_samples"][:N_SAMPLE]
    expected = {
        "filling_factor": (np.log10(part["filling_factor"].value), -1.0),
        "T_ex": (part["T_ex"].value, 100.0),
        "N_tot": (np.log10(part["N_tot"].value), 16.0),
        "fwhm": (part["fwhm"].value, 4.1),
        "v_off": (part["v_off"].value, 0.25),
        "N_beam": (np.log10(part["N_beam"].value), 15.0),
    }
    for name, axes in diagonal(figure).items():
        values, best = expected[name]
        drawn = [line.get_xdata()[0] for line in axes.lines]
        np.testing.assert_allclose(drawn, [*np.quantile(values, [0.16, 0.5, 0.84]), best], rtol=1e-12)
    assert diagonal(figure, 1)["fwhm"].lines[-1].get_xdata()[0] == 3.9


def test_the_optimum_is_in_the_picture_wherever_it_is(two_species):
    two_species["parameters"]["v_off"][0] = 11.0 * u.km / u.s
    low, high = diagonal(draw_posterior(two_species))["v_off"].get_xlim()
    assert low < 0.3 < 11.0 < high


def test_an_optimum_that_is_not_known_is_left_out(two_species):
    two_species["parameters"]["filling_factor"][0] = np.nan
    axes = diagonal(draw_posterior(two_species))["filling_factor"]
    assert np.isfinite(axes.get_xlim()).all()


def test_one_triangle_for_each_species_up_to_a_number(two_species, monkeypatch):
    monkeypatch.setattr(posterior_plot, "MOST", 1)
    many = [samples_of(1, f"species {k}", k) for k in range(3)]
    figure = draw_posterior({"posterior_samples": vstack(many), "parameters": two_species["parameters"]})
    assert len(figure.axes) == N_PANEL + 1
    assert "2 more are in the tables" in figure.texts[0].get_text()


def test_samples_that_are_all_the_same(two_species, tmp_path):
    for name in AXES:
        two_species["posterior_samples"][name] = two_species["posterior_samples"][name][0]
    write_posterior_png(tmp_path / "same.png", two_species)
    assert (tmp_path / "same.png").read_bytes().startswith(b"\x89PNG")


def test_no_samples(two_species):
    with pytest.raises(ValueError, match="no posterior samples"):
        draw_posterior(two_species | {"posterior_samples": two_species["posterior_samples"][:0]})
