"""How good are starts and solvers? Many pairs of spectrum and species, fitted in many ways, compared in tables."""
