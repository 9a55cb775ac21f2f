"""How the networks are trained: maximum likelihood on simulated truth, then reinforcement."""
