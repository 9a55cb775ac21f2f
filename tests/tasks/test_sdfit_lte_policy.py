"""`sdfit_lte` with a trained network: starts, posterior, records, and what is refused before any work."""

import hashlib
import json
import shutil
import sys
from importlib.metadata import EntryPoint

import astropy.units as u
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spectuner_ext import cli
from spectuner_ext.errors import InputError
from spectuner_ext.pipeline.cubes.map_files import read_maps
from spectuner_ext.pipeline.cubes.outcome import FIELDS
from spectuner_ext.pipeline.cubes.simulate import simulate_cube
from spectuner_ext.pipeline.products import read_products
from spectuner_ext.policy.policy import FittingPolicy
from spectuner_tasks import sdfit_lte

HELD = {"T_ex": 150, "source_size": 1.0}


@pytest.fixture
def spectrum_call(files, policy_weights):
    """A call that reads two windows from their files."""
    return {
        "infile": files,
        "species": "CH3OH",
        "beam": "1.9arcsec",
        "continuum": 1.0,
        "noise": 0.05,
        "fixed": HELD,
        "initial": "policy",
        "weights": str(policy_weights),
        "posterior": str(policy_weights),
        "plots": False,
    }


@pytest.fixture(scope="module")
def cube_of_methanol(database, tmp_path_factory):
    methanol = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0}
    made = simulate_cube(
        tmp_path_factory.mktemp("policy_blob") / "blob",
        [(218_400.0, 218_500.0, 0.488), (229_700.0, 229_800.0, 0.488)],
        [methanol],
        database,
        shape=(4, 5),
        noise=0.05,
        beam="1.9arcsec",
        seed=3,
    )
    return list(made.files)


@pytest.fixture
def cube_call(cube_of_methanol, policy_weights):
    return {
        "infile": cube_of_methanol,
        "species": "CH3OH",
        "fixed": HELD,
        "initial": "policy",
        "weights": str(policy_weights),
        "ninit": 10,
        "plots": False,
        "workers": 1,
    }


@pytest.fixture
def commands(monkeypatch, capsys):
    """Run a command; returns exit code, stdout and stderr."""
    names = {name: f"spectuner_tasks.command_line:{name}" for name in ("sdfit_lte", "rerun")}
    points = [EntryPoint(name, value, cli.GROUP) for name, value in names.items()]
    monkeypatch.setattr(cli, "entry_points", lambda group: points)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["spectuner", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def same_parameters(one, other):
    for name in one.colnames:
        assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)


def test_a_spectrum_has_its_fit_and_the_posterior(spectrum_call):
    result = sdfit_lte(**spectrum_call)
    row = result["parameters"][0]
    assert row["detected"]
    assert abs(row["v_off"].to_value("km/s") - 0.5) < 5 * row["v_off_err"].to_value("km/s")
    table, samples = result["posterior"], result["posterior_samples"]
    assert table["quantile"].tolist() == [0.05, 0.16, 0.5, 0.84, 0.95]
    assert len(samples) == 1000
    assert table["T_ex"].unit == u.K
    for name in ("filling_factor", "T_ex", "N_tot", "fwhm", "v_off"):
        np.testing.assert_allclose(
            np.asarray(table[name]), np.quantile(np.asarray(samples[name]), table["quantile"])
        )
    np.testing.assert_allclose(samples["N_beam"].value, samples["filling_factor"] * samples["N_tot"].value)
    assert "Bounds, held values" in table.meta["about"]


def test_products_and_records_hold_what_was_asked(spectrum_call, policy_weights, tmp_path):
    result = sdfit_lte(**spectrum_call, outfile=str(tmp_path / "a"))
    digest = hashlib.sha256(policy_weights.read_bytes()).hexdigest()
    networks = result["provenance"]["networks"]
    assert {name: n["sha256"] for name, n in networks.items()} == {"weights": digest, "posterior": digest}
    assert networks["weights"]["notes"] == {"stage": "none"}
    assert "torch" in result["provenance"]["versions"]
    assert digest in (tmp_path / "a.log").read_text()
    back = read_products(tmp_path / "a")
    same_parameters(back["posterior"], result["posterior"])
    same_parameters(back["posterior_samples"], result["posterior_samples"])
    assert back["posterior"].meta == result["posterior"].meta
    assert back["posterior"]["N_beam"].unit == u.cm**-2
    assert result["call"]["initial"] == "policy"
    assert "posterior.png" not in result["files"]
    again = sdfit_lte(**{**back["call"], "overwrite": True, "plots": True})
    assert (tmp_path / "a.posterior.png").read_bytes().startswith(b"\x89PNG")
    assert again["files"]["posterior.png"] == str(tmp_path / "a.posterior.png")
    same_parameters(again["parameters"], result["parameters"])
    same_parameters(again["posterior_samples"], result["posterior_samples"])
    sdfit_lte(**{**back["call"], "overwrite": True, "posterior": "none"})
    assert not (tmp_path / "a.posterior.png").exists()


def test_a_record_is_repeated_and_changed_weights_are_told(commands, spectrum_call, policy_weights, tmp_path):
    own = tmp_path / "own.safetensors"
    shutil.copy(policy_weights, own)
    sdfit_lte(**{**spectrum_call, "weights": own, "posterior": "none"}, outfile=str(tmp_path / "a"))
    assert "posterior" not in read_products(tmp_path / "a")
    code, _, err = commands("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")
    assert (code, "has changed" in err) == (0, False)
    same_parameters(read_products(tmp_path / "a")["parameters"], read_products(tmp_path / "b")["parameters"])
    record = json.loads((tmp_path / "a.json").read_text())
    record["provenance"]["networks"]["weights"]["sha256"] = "0" * 64
    (tmp_path / "c.json").write_text(json.dumps(record))
    code, _, err = commands("rerun", tmp_path / "c.json")
    assert code == 0
    assert f"weights: {own} has changed since the call was recorded" in err


def test_a_loaded_policy_is_taken_but_not_remembered(spectrum_call, policy_weights):
    policy = FittingPolicy.load(policy_weights)
    given = sdfit_lte(**{**spectrum_call, "weights": policy, "posterior": policy})
    by_file = sdfit_lte(**spectrum_call)
    same_parameters(given["parameters"], by_file["parameters"])
    assert given["call"]["weights"] == {"in_memory": "FittingPolicy"}
    with pytest.raises(InputError, match=r"^weights: was a FittingPolicy in memory"):
        sdfit_lte(**given["call"])


def test_a_posterior_needs_no_policy_start(spectrum_call):
    plain = {**spectrum_call, "initial": None, "weights": ""}
    result = sdfit_lte(**plain)
    without = sdfit_lte(**{**plain, "posterior": ""})
    assert len(result["posterior"]) == 5
    assert "posterior" not in without
    assert "networks" not in without["provenance"]
    same_parameters(result["parameters"], without["parameters"])


def test_several_groups_each_have_their_posterior(spectrum_call):
    result = sdfit_lte(**{**spectrum_call, "species": ["CH3OH", "CH3OCHO"], "fixed": None})
    assert result["posterior"]["fit"].tolist() == [1] * 5 + [2] * 5
    assert set(result["posterior_samples"]["species"]) == {"CH3OH;v=0;", "CH3OCHO;v=0;"}


def test_cubes(cube_call, commands, policy_weights, tmp_path):
    result = sdfit_lte(**cube_call, outfile=str(tmp_path / "a"), policy_every=2)
    maps = result["maps"]
    assert np.all(maps.good("CH3OH"))
    digest = hashlib.sha256(policy_weights.read_bytes()).hexdigest()
    assert result["provenance"]["networks"]["weights"]["sha256"] == digest
    back = read_maps(tmp_path / "a")
    assert back.meta["settings"]["policy"]["sha256"] == digest
    assert back.meta["settings"]["policy"]["every"] == 2
    code, _, _ = commands("rerun", tmp_path / "a.json", "--outfile", tmp_path / "b")
    assert code == 0
    for name in FIELDS:
        assert_array_equal(read_maps(tmp_path / "b").outcome[name], back.outcome[name], err_msg=name)


def test_the_command_takes_a_policy(commands, cube_of_methanol, policy_weights, tmp_path):
    code, out, _ = commands(
        "sdfit_lte", *cube_of_methanol, "--species", "CH3OH", "--fixed", json.dumps(HELD), "--no-plots",
        "--initial", "policy", "--weights", policy_weights, "--ninit", 10, "--outfile", tmp_path / "a",
    )  # fmt: skip
    assert code == 0
    assert "CH3OH" in out
    assert read_maps(tmp_path / "a").meta["call"]["initial"] == "policy"


@pytest.mark.parametrize("kind", ["spectrum", "cube"])
@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"weights": "nowhere.safetensors"}, "weights: there is no file"),
        ({"weights": 3.0}, "weights: must be the name of a file"),
        ({"initial": None}, "weights: is for initial='policy'"),
        ({"device": "abacus"}, "device: must be"),
        ({"device": 1}, "device: must be"),
        ({"bounds": {"v_off": (20, 30)}}, "bounds: v_off"),
    ],
)
def test_bad_input(spectrum_call, cube_call, tmp_path, kind, changes, begins):
    call = spectrum_call if kind == "spectrum" else cube_call
    with pytest.raises(InputError, match=f"^{begins}"):
        sdfit_lte(**{**call, **changes}, outfile=str(tmp_path / "products"))
    assert not list(tmp_path.glob("products*"))


def test_a_gpu_must_be_there(spectrum_call, cube_call):
    import torch

    device = "cuda:99" if torch.cuda.is_available() else "cuda"
    for call in (spectrum_call, cube_call):
        with pytest.raises(InputError, match=rf"^device: {device} was asked for"):
            sdfit_lte(**{**call, "device": device})


def test_damaged_weights_are_refused_before_the_data_are_read(
    spectrum_call, cube_call, tmp_path, monkeypatch
):
    import spectuner_tasks.preparation as spectra
    import spectuner_tasks.preparation_cube as cubes

    for module in (spectra, cubes):
        monkeypatch.setattr(module, "_read", None)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not a network")
    for call in (spectrum_call, cube_call):
        with pytest.raises(InputError, match=r"^weights: .*cannot be read"):
            sdfit_lte(**{**call, "weights": str(damaged)})
    with pytest.raises(InputError, match=r"^posterior: .*cannot be read"):
        sdfit_lte(**{**spectrum_call, "posterior": str(damaged)})


def test_parameters_of_cubes_are_not_for_spectra(spectrum_call, cube_call):
    with pytest.raises(InputError, match=r"^policy_every: is for cubes"):
        sdfit_lte(**spectrum_call, policy_every=2)
    with pytest.raises(InputError, match=r"^posterior: is for spectra"):
        sdfit_lte(**cube_call, posterior="posterior")
    with pytest.raises(InputError, match=r"^policy_every: is for initial='policy'"):
        sdfit_lte(**{**cube_call, "initial": "neighbours", "weights": ""}, policy_every=2)
