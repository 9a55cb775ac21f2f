import numpy as np
import pytest

from spectuner_tasks import demo, demo_cube


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return demo.run(tmp_path_factory.mktemp("demo"), plots=False)


def test_every_species_is_found_with_honest_errors(result):
    assert all(result["parameters"]["detected"])
    pulls = np.array([float(r["pull"]) for r in demo.compared(result["parameters"], result["truth"])])
    assert pulls.size == 25
    # 25 pulls of unit width: their root mean square is 1 +- 0.14, but parameters of one species are
    # correlated.
    assert 0.4 < np.sqrt(np.mean(pulls**2)) < 1.8
    assert np.all(np.abs(pulls) < 5)


def test_residual_is_the_noise(result):
    residual = np.concatenate([t["residual"].value for t in result["spectra"]])
    assert residual.std() == pytest.approx(0.048, rel=0.03)  # 8732 channels: 0.8 %


def test_command_prints_truth_beside_fit(tmp_path, capsys, monkeypatch, result, pinning):
    monkeypatch.setattr(demo, "run", lambda *_, **__: result)
    small = demo_cube.run
    monkeypatch.setattr(demo_cube, "run", lambda *a, **k: small(*a, **{**k, "size": 8, "species": ["CH3OH"]}))
    demo.command(tmp_path)
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["species", "parameter", "truth", "fit", "pull"]
    assert "25 pulls: mean" in out
    assert "hot_core.ecsv" in out
    assert "simulated cube: 8 x 8 pixels, 8740 channels" in out
    assert "hot_core_cube.truth.png" in out
    assert "simulated ion: 300 levels calculated, 45 of them known" in out
    assert "ion.levels.ecsv" in out
