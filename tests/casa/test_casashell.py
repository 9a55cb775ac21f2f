"""A session of casashell, as a user types it."""

import re
import sys

import pytest

pytestmark = pytest.mark.casa

COMMAND = [
    "-m",
    "casashell",
    "--nogui",
    "--nologger",
    "--nologfile",
    "--agg",
    "--colors",
    "NoColor",
    "--no-auto-update",
]
PROMPT = r"CASA <\d+>: "


@pytest.fixture
def say(casa_environment, tmp_path):
    """Type a line at the prompt, and return what is shown until the next one."""
    import pexpect

    environment = {**casa_environment, "TERM": "dumb", "PROMPT_TOOLKIT_NO_CPR": "1"}
    shell = pexpect.spawn(
        sys.executable,
        COMMAND,
        cwd=str(tmp_path),
        env=environment,
        encoding="utf-8",
        timeout=120,
        dimensions=(80, 150),
    )
    shell.expect(PROMPT)

    def typed(line):
        shell.sendline(line)
        shell.expect(PROMPT)
        return re.sub(r"\x1b\[\?\w+", "", shell.before)

    yield typed
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()


def test_inputs_go_failure_and_tget(say, database, tmp_path):
    from spectuner_ext.pipeline.cubes.simulate import simulate_cube

    methanol = {"species": "CH3OH", "T_ex": 150, "N_tot": 1e18, "fwhm": 5, "source_size": 1.0, "v_off": 0.4}
    simulate_cube(
        tmp_path / "blob", [(218_400.0, 218_480.0, 0.488)], [methanol], database, shape=(3, 4), noise=0.05,
        beam="1.9arcsec", seed=3,
    )  # fmt: skip
    say("importfits('blob_spw1.fits', 'blob.image')")
    say("from spectuner_tasks.gotasks.sdfit_lte import sdfit_lte")

    shown = say("inp(sdfit_lte)")
    assert "# sdfit_lte -- fit LTE models" in shown
    assert re.search(r"^components +=.* 1 ", shown, re.M)
    assert not re.search(r"plots +", shown)

    say(
        "infile = 'blob.image'; species = 'CH3OH'; fixed = {'T_ex': 150, 'source_size': 1.0}; outfile = 'maps'"
    )
    say("components = 'two'")
    shown = say("inp(sdfit_lte)")
    assert "\x1b[34m'CH3OH'" in shown  # changed
    assert "\x1b[91m'two'" in shown  # wrong
    assert re.search(r"   plots +", shown)  # opened by outfile

    shown = say("go()")
    assert "AssertionError: {'components': ['must be of cInt type', 'must be of cDict type']}" in shown
    assert re.search(r"SEVERE\s+sdfit_lte::", shown)

    say("components = 1; plots = False")
    say("result = go()")
    assert "12" in say("result['counts']['fitted']")
    assert (tmp_path / "sdfit_lte.last").is_file()
    assert "version: spectuner-ext" in say(
        "imhistory('maps.images/CH3OH_V_OFF.image', mode='list', verbose=False)[-2]"
    )

    say("default(sdfit_lte)")
    assert "False" in say("'species' in globals()")
    say("tget(sdfit_lte)")
    assert "'CH3OH'" in say("species")

    shown = say("sdfit_lte(infile='nope.image', species='CH3OH')")
    assert "the infile parameter must be a path that exists ('nope.image' does not exist)" in shown
    shown = say("sdfit_lte(infile='blob.image', species='Unobtainium')")
    assert "SpeciesError: species: " in shown
    assert re.search(r"SEVERE\s+sdfit_lte::", shown)


def test_both_tasks_share_the_prompt(say):
    say("from spectuner_tasks.gotasks import sdfit_lte, termanalysis_rl")
    assert "nsimulations" not in say("inp(termanalysis_rl)")
    say("agent = 'mcts'")
    assert "nsimulations" in say("inp")
    assert "determine fine-structure levels" in say("print(termanalysis_rl.__doc__)")
