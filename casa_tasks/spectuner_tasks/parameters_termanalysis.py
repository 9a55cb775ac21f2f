"""The parameters of `termanalysis_rl`, stated once: checks, docstring and command-line options come from here."""

from spectuner_ext.terms.agents import AGENTS

from . import checks
from .checks_termanalysis import (
    agent,
    by_hand,
    configurations,
    kaysers,
    not_negative_number,
    probability,
    reward,
    source,
    spectral_range,
    weights,
)
from .parameters import Parameter

__all__ = ["SETTINGS", "TERMANALYSIS_RL"]

COMPAT = ("paper",)
NETWORKS = ("local", "published")
ROLLOUTS = ("random", "greedy")

AGENT_WORDS = {
    "evidence": "likelihood ratio of each candidate to chance, most confident first, with probabilities",
    "beam": "search for the largest sum of evidence, several partial analyses at a time",
    "greedy": "the published baseline, which takes the greatest reward",
    "mcts": "the published tree search",
    "tagdqn": "the published graph network, which is trained on the ion at hand; minutes to hours",
}
"""Agents and what they are, for those that there are."""

AGENT_TEXT = (
    f"What determines the levels. {'. '.join(f'{n}: {t}' for n, t in AGENT_WORDS.items() if n in AGENTS)}."
)

EVIDENCE = ("evidence", "beam")
PROCESS = ("greedy", "mcts", "tagdqn")
"""Agents that go by the evidence, and agents of the published decision process."""

SETTINGS: dict[str, str] = {
    "spectralrange": "spectral_range",
    "energyrange": "energy_window",
    "tolerance": "tolerance",
    "intensityrange": "intensity_window",
    "minsnr": "min_snr",
    "fixlevels": "float_levels",
}
"""Parameters that a case's ``config.yaml`` may give too, and the fields of `AnalysisSettings` that they set."""

TERMANALYSIS_RL: tuple[Parameter, ...] = (
    Parameter(
        "infile",
        ("path", "record", "variant"),
        "",
        "Line list, calculation and what is known: folder of a published case (five CSV files, config.yaml "
        "if there is one) or its config.yaml; FITS file or folder of ECSV files of a system; name of the "
        "products of an earlier run, which starts where that one ended, with its tables as they are now; "
        "mapping with 'lines' and 'levels', 'transitions' (or 'theory', a file of Kurucz) and, where something "
        "is known, 'known_levels' and 'known_lines', each a table or the name of a file; TermSystem. Answer "
        "keys are never read. Required.",
        source,
        required=True,
    ),
    Parameter(
        "outfile",
        ("string",),
        "",
        "Name of the products, 'folder/name': tables, JSON record, log and plots are written. '' writes "
        "nothing.",
        checks.path,
    ),
    Parameter(
        "agent",
        ("string",),
        "evidence",
        AGENT_TEXT,
        agent,
        choices=tuple(AGENTS),
    ),
    Parameter(
        "nlevels",
        ("int",),
        None,
        "At most so many levels are determined. Not given: half of ep_length where config.yaml has it, else "
        "as many as the evidence allows.",
        checks.integer(1),
    ),
    Parameter(
        "minprobability",
        ("double",),
        0.5,
        "Levels that are less probable stay undetermined and are listed with their best candidate. At 0.5 a "
        "level is kept when it is more likely right than wrong. Agents of the published decision process (greedy, "
        "mcts, tagdqn) give no probabilities and keep every level.",
        probability,
    ),
    Parameter(
        "spectralrange",
        ("string", "variant"),
        None,
        "Part of the spectrum whose lines are used: (low, high), '30000~55000' or, in vacuum, '180~330nm'. "
        "Not given: as in config.yaml, else the whole list.",
        spectral_range,
        unit="cm-1",
    ),
    Parameter(
        "energyrange",
        ("double", "string", "variant"),
        None,
        "Half-width of the search for a level about its calculated energy. Not given: as in config.yaml, "
        "else 1500.",
        kaysers,
        unit="cm-1",
    ),
    Parameter(
        "tolerance",
        ("double", "string", "variant"),
        None,
        "Energies that two lines imply for a level agree within this; a line in accept or reject is looked "
        "for within it. Not given: as in config.yaml, else 0.05.",
        kaysers,
        unit="cm-1",
    ),
    Parameter(
        "intensityrange",
        ("double",),
        None,
        "How far observed and calculated intensities may differ. Not given: as in config.yaml, else 1.",
        checks.positive,
        unit="dex",
    ),
    Parameter(
        "minsnr",
        ("double",),
        None,
        "Transitions whose expected signal to noise is lower are left out by the agents of the published decision "
        "process; the evidence agent weighs each by its chance to be seen. Not given: as in config.yaml, else 2.",
        not_negative_number,
    ),
    Parameter(
        "fixlevels",
        ("bool",),
        None,
        "Hold the energies of the levels that are known at the start; False optimises them with the others. "
        "Not given: as in config.yaml, else True.",
        checks.boolean,
    ),
    Parameter(
        "accept",
        ("record", "variant"),
        None,
        "Decided by hand, and kept by every agent: a list of {'level': 545, 'energy': 68347.58}, a level by id "
        "or label and its energy in cm-1, and {'line': 41234.567, 'lower': 3, 'upper': 545}, a line of the list "
        "and its levels. A known level that gets another energy loses its lines.",
        by_hand,
    ),
    Parameter(
        "reject",
        ("int", "string", "record", "variant"),
        None,
        "Forbidden by hand: a list of levels (12 or a label), {'level': 520, 'energy': 65123.4}, an energy that "
        "a level must not get, and {'line': 34567.8}, a line that explains nothing. A known level that is "
        "rejected leaves the start with its lines.",
        by_hand,
    ),
    Parameter(
        "configurations",
        ("record", "stringVec"),
        None,
        "Electron configurations where the labels of the levels do not tell: a record of label to configuration, or "
        "one text for each level, such as '3d7.(4F).4p'; levels of one configuration have similar errors of the "
        "calculated energy. For agents that go by the evidence.",
        configurations,
        under="agent",
        when=EVIDENCE,
    ),
    Parameter(
        "ntrajectories",
        ("int",),
        1,
        "Repetitions with perturbed settings, whose agreement is a second confidence; worth its time where few "
        "levels are known. Runs of a round for agent='beam', 12 where it is 1. For agents that go by the evidence.",
        checks.integer(1),
        under="agent",
        when=EVIDENCE,
    ),
    Parameter(
        "nrounds",
        ("int",),
        1,
        "Rounds of repetitions; each leans towards what the best of the earlier rounds share. For agent='evidence' "
        "with ntrajectories above 1, and for agent='beam', which has 6 where it is 1.",
        checks.integer(1),
        under="agent",
        when=EVIDENCE,
    ),
    Parameter(
        "seed",
        ("int",),
        0,
        "Seed of the random numbers; the same seed gives the same result, whatever nworkers is.",
        checks.integer(0),
    ),
    Parameter(
        "seeds",
        ("int",),
        1,
        "Independent runs of agent='tagdqn' (trainings) or 'mcts', drawn from seed; the one with the largest reward "
        "is the result, and the share of the others that agree is the column agreement.",
        checks.integer(1),
        under="agent",
        when=("mcts", "tagdqn"),
    ),
    Parameter(
        "nworkers", ("int",), 1, "Processes that share the repetitions or the seeds.", checks.integer(1)
    ),
    Parameter(
        "episodes",
        ("int",),
        None,
        "Episodes that agent='tagdqn' is trained for. Not given: as in config or config.yaml, else 512.",
        checks.integer(1),
        under="agent",
        when=("tagdqn",),
    ),
    Parameter(
        "network",
        ("string",),
        "",
        "How the network of agent='tagdqn' judges energies: 'local' (the default), by what their lines say and one "
        "embedding of the state, or 'published', by embedding the graph that each leads to, about ten times slower.",
        checks.choice(NETWORKS),
        choices=NETWORKS,
        under="agent",
        when=("tagdqn",),
    ),
    Parameter(
        "nsimulations",
        ("int",),
        None,
        "Simulations of agent='mcts' before each step. Not given: as in config or config.yaml (N_sim), else 512.",
        checks.integer(1),
        under="agent",
        when=("mcts",),
    ),
    Parameter(
        "depth",
        ("int",),
        None,
        "Steps that a simulation of agent='mcts' looks ahead. Not given: as in config or config.yaml, else 4.",
        checks.integer(1),
        under="agent",
        when=("mcts",),
    ),
    Parameter(
        "constant",
        ("double",),
        None,
        "Exploration of agent='mcts', as a factor of the mean return at the root. Not given: as in config or "
        "config.yaml (C_p), else 0.4.",
        not_negative_number,
        under="agent",
        when=("mcts",),
    ),
    Parameter(
        "rollout",
        ("string",),
        "",
        "How agent='mcts' goes on beyond its tree: 'random' (the default), or 'greedy', by the largest reward.",
        checks.choice(ROLLOUTS),
        choices=ROLLOUTS,
        under="agent",
        when=("mcts",),
    ),
    Parameter(
        "config",
        ("path",),
        "",
        "YAML file in the published format, whose params replace those of the case's config.yaml: settings of the "
        "analysis, and of training and tree search for agent='tagdqn' and 'mcts'. Parameters of the call win.",
        checks.path,
        mustexist=True,
    ),
    Parameter(
        "compat",
        ("string",),
        "",
        "'paper' makes the choices of the published code, also where it departs from its description, so that "
        "published runs of the decision process can be repeated; for agent='greedy', 'mcts' and 'tagdqn'.",
        checks.choice(COMPAT),
        choices=COMPAT,
        under="agent",
        when=PROCESS,
    ),
    Parameter(
        "reward",
        ("string",),
        "",
        "Preference score that rewards agent='greedy', 'mcts' and 'tagdqn': 'trained' (the default), 'recovered' "
        "(the default with compat='paper'; inferred from published logs), 'evidence' or 'learned' (posterior "
        "probability by the evidence, as it is or corrected by a trained network), or the path of a reward.pth or "
        ".json file.",
        reward,
        under="agent",
        when=PROCESS,
    ),
    Parameter(
        "weights",
        ("string",),
        "",
        "Score of the agents that go by the evidence: 'hand' (the default), 'learned' (corrected by a network that "
        "is shipped), or the path of a .json file of a learned score.",
        weights,
        under="agent",
        when=EVIDENCE,
    ),
    Parameter(
        "resume",
        ("bool",),
        False,
        "Go on with a call that was cancelled or killed: its outfile has a .checkpoint beside it, and its "
        "products are replaced. A training of agent='tagdqn' goes on in the folder .training beside it.",
        checks.boolean,
    ),
    Parameter(
        "plots", ("bool",), True, "Draw plots beside the other products.", checks.boolean, under="outfile"
    ),
    Parameter(
        "overwrite",
        ("bool",),
        False,
        "Replace products of the same name, and start anew where there is a .checkpoint or .training.",
        checks.boolean,
    ),
    Parameter("logfile", ("string",), "", "Text file to which the log is appended.", checks.path),
    Parameter(
        "progress",
        ("bool", "variant"),
        None,
        "True shows a line with the remaining time on stderr. A callable gets a dict with stage, done, total, "
        "n_levels, score and eta_s, and cancels the run when it returns something true; what was found is kept.",
        checks.progress,
    ),
)
