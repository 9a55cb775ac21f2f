import numpy as np
import pytest

from spectuner_ext.errors import InputError
from spectuner_ext.terms import environment
from spectuner_ext.terms.calibration import prepare
from spectuner_ext.terms.gym import TermAnalysisEnv
from spectuner_ext.terms.reward import load_reward
from spectuner_ext.terms.simulate import simulate_ion


@pytest.fixture(scope="module")
def problem():
    ion = simulate_ion(n_levels=100, seed=4)
    return prepare(ion.system, ion.settings)


def test_an_episode_is_that_of_the_process(problem):
    reward = load_reward("trained")
    env, rng = TermAnalysisEnv(problem, reward), np.random.default_rng(0)
    observation, info = env.reset(seed=1)
    state, done = environment.reset(problem), False
    while not done:
        assert env.observation_space.contains(observation)
        n = int(info["action_mask"].sum())
        assert info["action_mask"][:n].all()
        assert np.array_equal(info["actions"], environment.actions(problem, state, reward))
        action = int(rng.integers(n))
        expected = info["rewards"][action]
        state, gain, ended = environment.step(problem, state, int(info["actions"][action]), reward)
        observation, own, terminated, truncated, info = env.step(action)
        assert own == gain == expected
        assert observation["selected"] == state.selected + 1
        assert np.array_equal(observation["known"] == 1, np.isfinite(state.known.energy))
        done = terminated or truncated
        assert done == ended
        assert truncated == (state.n_steps >= problem.settings.horizon)


def test_a_masked_action_is_refused(problem):
    env = TermAnalysisEnv(problem)
    _, info = env.reset()
    with pytest.raises(InputError, match="masked"):
        env.step(int(info["action_mask"].sum()))


def test_the_spaces_are_those_of_gymnasium(problem):
    from gymnasium.utils import env_checker

    env = TermAnalysisEnv(problem)
    env_checker.check_reset_return_type(env)
    env_checker.check_reset_options(env)
    assert env.observation_space.contains(env.reset(seed=3)[0])
    assert env.action_space.n >= len(problem.system.levels)
