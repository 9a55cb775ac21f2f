"""The task with its real agents: no key is opened, workers and interruptions change nothing, hands are obeyed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms.agents import AGENTS, agent_named
from spectuner_ext.terms.readers import write_folder
from spectuner_ext.terms.simulate import simulate_ion
from spectuner_tasks import termanalysis_rl

KEY = "all_known_levels.csv"
QUICK = {
    "evidence": {},
    "greedy": {},
    "beam": {"ntrajectories": 2, "nrounds": 2},
    "mcts": {"nsimulations": 4, "depth": 2},
    "tagdqn": {"episodes": 2},
}
"""Every agent, with options that make it quick."""

WATCHED = """
import json, sys
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from spectuner_tasks import termanalysis_rl
case, outfile, agent, options = sys.argv[1:]
termanalysis_rl(case, outfile, agent=agent, **json.loads(options))
print(json.dumps(opened))
"""


@pytest.fixture(scope="module")
def small_ion():
    return simulate_ion(n_levels=150, seed=5)


@pytest.fixture
def folder(small_ion, tmp_path):
    return write_folder(small_ion.system, tmp_path / "ion", small_ion.settings)


def test_all_agents_are_tried():
    assert set(QUICK) == set(AGENTS)


@pytest.mark.parametrize("name", AGENTS)
def test_registered_agents_can_be_loaded(name):
    assert callable(agent_named(name))


# ------------------------------------------------------------------------------------------ the key


def watched(case, outfile, agent, **options):
    """Run the task in a process that notes every file that is opened; returns these and the tables."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(case), str(outfile), agent, json.dumps({"plots": True, **options})],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tables = [Path(f"{outfile}.{name}.ecsv").read_text() for name in ("levels", "lines", "undetermined")]
    return json.loads(done.stdout.splitlines()[-1]), tables


def check_key_is_never_opened(case, tmp_path, agent, **options):
    opened, with_key = watched(case, tmp_path / "with", agent, **options)
    assert any(name.endswith("line_list.csv") for name in opened)
    assert not [name for name in opened if "all_known_levels" in name]
    (case / KEY).unlink()
    _, without_key = watched(case, tmp_path / "without", agent, **options)
    assert with_key == without_key


@pytest.mark.parametrize("agent", QUICK)
def test_key_of_a_simulated_ion_is_never_opened(small_ion, folder, tmp_path, agent):
    np.savetxt(folder / KEY, small_ion.truth_energy / 1000.0)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + f"\nall_known_levels: ./{KEY}\n")
    check_key_is_never_opened(folder, tmp_path, agent, nlevels=8, **QUICK[agent])


@pytest.mark.shared_data
@pytest.mark.parametrize("agent", QUICK)
def test_key_of_a_published_case_is_never_opened(shared, tmp_path, agent):
    case = Path(shutil.copytree(shared / "data" / "term_analysis" / "nd3", tmp_path / "nd3"))
    for path in [case, *case.iterdir()]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    check_key_is_never_opened(case, tmp_path, agent, nlevels=5, plots=False, **QUICK[agent])


def test_a_key_of_rubbish_changes_nothing(same_tables, folder):
    before = termanalysis_rl(folder)
    (folder / KEY).write_bytes(b"\x00rubbish")
    same_tables(before, termanalysis_rl(folder))


# --------------------------------------------------------------------------- workers, kill, resume

REPEATED = {"ntrajectories": 4, "seed": 3, "plots": False}

KILLED = """
import os, signal, sys
from pathlib import Path
from spectuner_tasks import termanalysis_rl
case, outfile = sys.argv[1:]
checkpoint = Path(outfile + ".checkpoint")

def kill_when_something_is_kept(report):
    if checkpoint.exists() and checkpoint.stat().st_size:
        os.kill(os.getpid(), signal.SIGKILL)

termanalysis_rl(case, outfile, ntrajectories=4, seed=3, plots=False, progress=kill_when_something_is_kept)
"""


@pytest.fixture(scope="module")
def uninterrupted(small_ion, tmp_path_factory):
    case = write_folder(small_ion.system, tmp_path_factory.mktemp("whole") / "ion", small_ion.settings)
    return termanalysis_rl(case, **REPEATED)


def test_workers_change_nothing(same_tables, uninterrupted, folder):
    same_tables(uninterrupted, termanalysis_rl(folder, nworkers=2, **REPEATED))


def test_seed_repeats(same_tables, uninterrupted, folder):
    same_tables(uninterrupted, termanalysis_rl(folder, **REPEATED))


def test_killed_run_goes_on_to_the_same_result(same_tables, uninterrupted, folder, tmp_path):
    outfile = str(tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), outfile], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert Path(f"{outfile}.checkpoint").exists()
    assert not Path(f"{outfile}.levels.ecsv").exists()
    same_tables(uninterrupted, termanalysis_rl(folder, outfile, resume=True, **REPEATED))
    assert not Path(f"{outfile}.checkpoint").exists()


def test_checkpoint_of_another_call_is_refused(folder, tmp_path):
    outfile = str(tmp_path / "run")
    subprocess.run([sys.executable, "-c", KILLED, str(folder), outfile], capture_output=True)
    with pytest.raises(InputError, match=r"^resume: .*run\.checkpoint.*belongs to a run with other"):
        termanalysis_rl(folder, outfile, resume=True, **{**REPEATED, "seed": 4})


def test_cancelled_run_goes_on_to_the_same_result(same_tables, uninterrupted, folder, tmp_path):
    outfile = str(tmp_path / "run")
    checkpoint = Path(f"{outfile}.checkpoint")
    half = termanalysis_rl(
        folder, outfile, **REPEATED, progress=lambda _: checkpoint.exists() and checkpoint.stat().st_size > 0
    )
    assert half["summary"]["outcome"] == "CANCELLED"
    same_tables(uninterrupted, termanalysis_rl(folder, outfile, resume=True, **REPEATED))


INTERRUPTED = """
import sys
from spectuner_tasks.command_line import RUNS
RUNS["termanalysis_rl"](
    False, infile=sys.argv[1], outfile=sys.argv[2], ntrajectories=400, nworkers=2, seed=3, plots=False
)
"""


def test_interrupt_of_a_process_group(folder, tmp_path):
    """Ctrl-C in a terminal reaches the workers too; what is found is kept nevertheless."""
    outfile = tmp_path / "run"
    checkpoint = Path(f"{outfile}.checkpoint")
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(folder), str(outfile)],
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        while process.poll() is None and not checkpoint.exists():
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=180)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130, err
    assert "CANCELLED" in out
    assert "Traceback" not in err
    assert "--resume goes on" in err
    assert checkpoint.exists()


# ------------------------------------------------------------------------------------------ by hand


def left_out(ion, levels):
    """Level that was not determined although it has the most lines to known levels, and its true energy."""
    known = np.isfinite(ion.system.known_energy)
    made = (ion.truth_upper >= 0) & known[ion.truth_lower]
    n_lines = np.bincount(ion.truth_upper[made], minlength=known.size)
    n_lines[known] = 0
    n_lines[np.asarray(levels["level"])] = 0
    level = int(np.argmax(n_lines))
    assert n_lines[level] >= 2
    return level, float(ion.truth_energy[level])


@pytest.mark.parametrize("agent", QUICK)
def test_hands_are_obeyed(small_ion, folder, agent):
    free = termanalysis_rl(folder, agent=agent, nlevels=10, **QUICK[agent])
    first, second = (int(k) for k in free["levels"]["level"][:2])
    own = free["lines"][(free["lines"]["upper"] == second) & (free["lines"]["provenance"] != "initial")]
    line = float(own["wavenumber"][0].value)
    level, energy = left_out(small_ion, free["levels"])
    bound = termanalysis_rl(
        folder,
        agent=agent,
        nlevels=10,
        **QUICK[agent],
        reject=[first, {"line": line}],
        accept=[{"level": level, "energy": energy}],
    )
    found = {int(row["level"]): row["energy"].value for row in bound["levels"]}
    assert first not in found
    assert found[level] == pytest.approx(energy, abs=0.05)
    new = bound["lines"][bound["lines"]["provenance"] != "initial"]
    assert np.all(np.abs(new["wavenumber"].value - line) > 1e-6)


@pytest.mark.parametrize("agent", QUICK)
def test_accepted_line_is_classified_so(small_ion, folder, agent):
    free = termanalysis_rl(folder, agent=agent, nlevels=10, **QUICK[agent])
    level, _ = left_out(small_ion, free["levels"])
    known = np.isfinite(small_ion.system.known_energy)
    rows = np.flatnonzero((small_ion.truth_upper == level) & known[small_ion.truth_lower])
    row = int(rows[np.argmax(small_ion.system.lines.snr[rows])])
    lower, at = int(small_ion.truth_lower[row]), float(small_ion.system.lines.wavenumber[row])
    accept = [{"level": level, "energy": float(small_ion.truth_energy[level])}]
    accept += [{"line": at, "lower": lower, "upper": level}]
    lines = termanalysis_rl(folder, agent=agent, nlevels=10, **QUICK[agent], accept=accept)["lines"]
    (mine,) = np.flatnonzero((lines["upper"] == level) & (lines["lower"] == lower))
    assert lines["wavenumber"][mine].value == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize("agent", QUICK)
def test_forbidden_energy_is_not_taken(folder, agent):
    free = termanalysis_rl(folder, agent=agent, **QUICK[agent])["levels"]
    level, energy = int(free["level"][0]), float(free["energy"][0].value)
    reject = [{"level": level, "energy": energy}]
    bound = termanalysis_rl(folder, agent=agent, reject=reject, **QUICK[agent])["levels"]
    again = bound["energy"][bound["level"] == level]
    assert not np.any(np.abs(again.value - energy) < 0.05)


def test_next_run_keeps_what_was_found(folder, tmp_path):
    first = termanalysis_rl(folder, str(tmp_path / "first"), nlevels=4, plots=False)
    system_levels = {int(row["level"]): row["energy"].value for row in first["levels"]}
    second = termanalysis_rl(tmp_path / "first", str(tmp_path / "second"), plots=False)
    assert not set(system_levels) & {int(k) for k in second["levels"]["level"]}
    assert second["summary"]["start"]["known_levels"] == first["summary"]["start"]["known_levels"] + len(
        system_levels
    )


# ---------------------------------------------------------------------------------- configurations


def test_configurations_say_what_labels_do_not(small_ion):
    """Labels that tell nothing, and the configurations given beside them, are as good as labels that do."""
    from dataclasses import replace

    levels = small_ion.system.levels
    texts = [str(label).rsplit(" ", 1)[0] for label in levels.label]
    bare = replace(
        small_ion.system, levels=replace(levels, label=np.array([f"no {k}" for k in range(len(levels))]))
    )
    usual = termanalysis_rl(small_ion.system)
    without = termanalysis_rl(bare)
    given = termanalysis_rl(bare, configurations=texts)
    by_label = termanalysis_rl(
        bare, configurations=dict(zip(map(str, bare.levels.label), texts, strict=True))
    )
    assert without["summary"]["run"]["labels_recognised"] == 0.0
    assert given["summary"]["run"]["labels_recognised"] == 1.0
    assert given["levels"]["energy"].value.tolist() == by_label["levels"]["energy"].value.tolist()
    right = [
        np.sum(np.abs(r["levels"]["energy"].value - small_ion.truth_energy[r["levels"]["level"]]) < 0.05)
        for r in (usual, without, given)
    ]
    assert right[1] >= 0.6 * right[0]
    assert right[2] >= right[1]
