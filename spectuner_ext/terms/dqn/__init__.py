"""The agent that learns values of decisions with a graph network (Ding et al., TAG-DQN); loads torch when used."""
