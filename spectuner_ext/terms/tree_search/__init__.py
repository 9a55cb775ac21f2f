"""Monte-Carlo tree search on the decision process of term analysis."""
