"""Runs: killed anywhere and continued, they end with the same bits as one that was left alone."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch

from spectuner_ext.errors import InputError, SpectunerError, SpectunerWarning
from spectuner_ext.learning import checkpoint
from spectuner_ext.learning.early_stop import EarlyStop
from spectuner_ext.learning.records import read_records
from spectuner_ext.learning.run import Run

pytestmark = pytest.mark.usefixtures("_one_thread")


class Killed(BaseException):
    """The process is gone."""


def killed_at(toy, folder, deadly, **options):
    def strike(step):
        if step == deadly:
            raise Killed

    try:
        toy.train(folder, strike=strike, **options)
    except Killed:
        return
    pytest.fail("the kill did not happen")


@pytest.fixture
def undisturbed(toy, tmp_path, _one_thread):
    return toy.train(tmp_path / "undisturbed").bits()


def test_a_kill_at_any_step_changes_nothing(toy, tmp_path, undisturbed):
    for deadly in range(12):
        folder = tmp_path / str(deadly)
        killed_at(toy, folder, deadly)
        torch.randn(deadly)  # whatever else the next process does with its own generator
        assert toy.train(folder).bits() == undisturbed


def test_kill_after_kill_changes_nothing(toy, tmp_path, undisturbed):
    for deadly in (1, 1, 4, 7, 6, 11):
        killed_at(toy, tmp_path / "often", deadly)
    assert toy.train(tmp_path / "often").bits() == undisturbed


def test_how_often_checkpoints_are_written_changes_nothing(toy, tmp_path, undisturbed):
    killed_at(toy, tmp_path / "time", 9, every=10**6, checkpoint_s=0.0)
    assert checkpoint.load_latest(tmp_path / "time" / "checkpoints").step == 9
    assert toy.train(tmp_path / "time", every=5, keep=1).bits() == undisturbed


def test_sigkill_of_a_process_changes_nothing(toy, toy_program, tmp_path):
    def program(folder, *arguments):
        command = [sys.executable, "-W", "error", str(toy_program), str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    done = program(tmp_path / "a", "7")
    assert done.returncode == -signal.SIGKILL, done.stderr
    # A row that the kill cut in two.
    with (tmp_path / "a" / "records.jsonl").open("ab") as file:
        file.write(b'{"step": 7, "lo')
    done = program(tmp_path / "a")
    assert done.returncode == 0, done.stderr
    outcome = toy.train(tmp_path / "b")
    together = b"".join(value for _, value in sorted(outcome.bits().items()))
    assert (tmp_path / "a" / "bits_0").read_bytes() == together


def test_a_damaged_checkpoint_costs_time_but_changes_nothing(toy, tmp_path, undisturbed):
    killed_at(toy, tmp_path / "a", 10)
    newest = checkpoint.files(tmp_path / "a" / "checkpoints")[0]
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.warns(SpectunerWarning, match="step_000000009.safetensors is damaged"):
        outcome = toy.train(tmp_path / "a")
    assert outcome.bits() == undisturbed


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(toy, tmp_path, undisturbed, number, error):
    before = signal.getsignal(number)

    def strike(step):
        if step == 4:
            os.kill(os.getpid(), number)

    with pytest.raises(error):
        toy.train(tmp_path / "a", strike=strike, every=10**6)
    assert signal.getsignal(number) is before
    assert checkpoint.load_latest(tmp_path / "a" / "checkpoints").step == 5
    assert toy.train(tmp_path / "a").bits() == undisturbed


def test_a_second_signal_ends_it_at_once(toy, tmp_path):
    def strike(step):
        if step == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("still here")

    with pytest.raises(KeyboardInterrupt):
        toy.train(tmp_path / "a", strike=strike, every=3)
    assert checkpoint.load_latest(tmp_path / "a" / "checkpoints").step == 3


def test_cancelled_by_its_listener_and_continued(toy, tmp_path, undisturbed):
    heard = []

    def listen(report):
        heard.append(report)
        return True

    outcome = toy.train(tmp_path / "a", progress=listen, every=10**6)
    assert outcome.run.outcome == "cancelled"
    assert len(heard) == 1
    assert heard[0].keys() >= {"loss", "norm", "step", "eta_s"}
    assert toy.train(tmp_path / "a").bits() == undisturbed


def test_runs_outside_the_main_thread(toy, tmp_path, undisturbed):
    found = []
    thread = threading.Thread(target=lambda: found.append(toy.train(tmp_path / "a").bits()))
    thread.start()
    thread.join()
    assert found == [undisturbed]


def test_a_finished_run_has_nothing_left_to_do(toy, tmp_path, undisturbed):
    first = toy.train(tmp_path / "a")
    assert first.run.outcome == "finished"
    again = toy.train(tmp_path / "a", strike=lambda step: pytest.fail("trained on"))
    assert again.run.outcome == "finished"
    assert again.bits() == undisturbed
    assert again.run.elapsed_s == pytest.approx(first.run.elapsed_s, rel=0.5)


def test_another_seed_is_another_training(toy, tmp_path, undisturbed):
    run = Run(tmp_path / "a", settings=toy.Settings(), seed=8, n_steps=12, streams=("batches",))
    assert run.streams["batches"].random(3).tobytes() != undisturbed["next"]


def test_other_settings_are_refused_by_name(toy, tmp_path):
    killed_at(toy, tmp_path / "a", 5)
    other = replace(toy.Settings(), width=7, rates=toy.Rates(peak=0.5))
    with pytest.raises(
        InputError, match=r"settings.width 6 instead of 7, settings.rates.peak 0.01 instead of 0.5\)"
    ):
        toy.train(tmp_path / "a", settings=other)
    with pytest.raises(InputError, match="n_steps 12 instead of 13"):
        toy.train(tmp_path / "a", n_steps=13)
    outcome = toy.train(
        tmp_path / "a", settings=replace(toy.Settings(), n_workers=4), may_differ=("n_workers",)
    )
    assert outcome.run.outcome == "finished"


def test_a_folder_of_something_else_is_refused(toy, tmp_path):
    killed_at(toy, tmp_path / "a", 5)
    (tmp_path / "a" / "run.json").write_text("[]")
    with pytest.raises(InputError, match=r"run.json does not describe a run"):
        toy.train(tmp_path / "a")
    (tmp_path / "a" / "run.json").unlink()
    with pytest.raises(InputError, match=r"holds a run without its run.json"):
        toy.train(tmp_path / "a")


def test_another_environment_is_told(toy, tmp_path):
    killed_at(toy, tmp_path / "a", 5)
    torch.set_num_threads(2)
    with pytest.warns(SpectunerWarning, match=r"another environment \(threads\)"):
        toy.train(tmp_path / "a")


def test_two_programs_cannot_share_a_folder(toy, tmp_path):
    (tmp_path / "a").mkdir()
    hold = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    hold += "; print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "a" / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline()
        with pytest.raises(InputError, match="another process is writing"):
            toy.train(tmp_path / "a")
        holder.communicate(b"\n")
    assert toy.train(tmp_path / "a").run.outcome == "finished"


def simple(folder, n_steps=50, **options):
    run = Run(folder, settings=options.pop("settings"), seed=1, n_steps=n_steps, **options)
    weight = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(weight.parameters(), lr=0.1)
    return run, weight, optimizer


def test_early_stop_is_remembered(toy, tmp_path):
    for part in range(2):
        run, weight, optimizer = simple(tmp_path / "a", settings=toy.Settings())
        watch = EarlyStop(3)
        run.attach(modules={"w": weight}, optimizers={"sgd": optimizer}, parts={"watch": watch})
        seen = []
        for step in run.steps():
            seen.append(step)
            if watch.update(max(10 - step, 4)) or not watch.is_over:
                continue
            run.stop("no better for 3 steps")
        assert seen == ([] if part else list(range(10)))
        assert (run.outcome, run.reason, run.step) == ("stopped", "no better for 3 steps", 10)


def test_descend_is_a_clipped_step(toy, tmp_path):
    run, weight, optimizer = simple(tmp_path / "a", settings=toy.Settings())
    run.attach(modules={"w": weight}, optimizers={"sgd": optimizer})
    torch.nn.init.constant_(weight.weight, 2.0)
    norm = run.descend(weight(torch.tensor([[3.0]])).sum(), max_norm=1.0)
    assert norm == pytest.approx(3.0)
    assert weight.weight.item() == pytest.approx(2.0 - 0.1 * 1.0, rel=1e-5)
    run.set_rate(0.5)
    for _ in range(2):  # two parts of a batch
        (weight(torch.tensor([[3.0]])).sum() / 2).backward()
    assert run.update() == pytest.approx(3.0)
    assert weight.weight.item() == pytest.approx(1.9 - 0.5 * 3.0, rel=1e-5)
    assert weight.weight.grad is None


def test_a_gradient_that_is_not_finite_is_left_out_and_counted(toy, tmp_path):
    run, weight, optimizer = simple(tmp_path / "a", settings=toy.Settings())
    run.attach(modules={"w": weight}, optimizers={"sgd": optimizer})
    before = weight.weight.item()
    with pytest.warns(SpectunerWarning, match="the update is left out"):
        run.descend(weight(torch.tensor([[float("inf")]])).sum())
    assert (run.n_skipped, weight.weight.item()) == (1, before)
    for _ in range(18):
        with pytest.warns(SpectunerWarning):
            run.descend(weight(torch.tensor([[float("nan")]])).sum())
    with pytest.raises(SpectunerError, match="not finite in 20 updates in a row"):
        run.descend(weight(torch.tensor([[float("nan")]])).sum())


def test_a_checkpoint_that_is_asked_for(toy, tmp_path):
    run, weight, _ = simple(tmp_path / "a", settings=toy.Settings())
    run.attach(modules={"w": weight})
    for step in run.steps():
        if step == 3:
            run.ask_for_checkpoint()
        if step == 4:
            break
    assert checkpoint.load_latest(run.checkpoint_folder).step == 4


def test_rows_before_and_after_the_loop_are_kept(toy, tmp_path):
    run, weight, _ = simple(tmp_path / "a", 3, settings=toy.Settings())
    run.attach(modules={"w": weight})
    run.record(0, start=1)
    for step in run.steps():
        run.record(step, loss=step)
    run.record(3, test=1.5)
    assert read_records(run.records_path)["step"].tolist() == [0, 0, 1, 2, 3]


def test_misuse_is_refused(toy, tmp_path):
    run, weight, optimizer = simple(tmp_path / "a", settings=toy.Settings())
    with pytest.raises(InputError, match="call attach"):
        next(run.steps())
    run.attach(modules={"w": weight}, optimizers={"one": optimizer, "two": optimizer})
    with pytest.raises(InputError, match="attach was called before"):
        run.attach()
    with pytest.raises(InputError, match=r"^optimizer: must be one of one, two"):
        run.update()
    with pytest.raises(InputError, match=r"^n_steps: "):
        simple(tmp_path / "b", 0, settings=toy.Settings())
    with pytest.raises(InputError, match=r"^settings: "):
        simple(tmp_path / "b", settings={"a": 1})
    with pytest.raises(InputError, match=r"^seed: "):
        Run(tmp_path / "b", settings=toy.Settings(), seed=-1, n_steps=1)
