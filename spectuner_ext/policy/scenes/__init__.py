"""Simulated observations of known truth, and real ones, to train and to judge a policy."""
