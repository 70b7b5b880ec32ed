"""Linear heads that are solved for at once, from embeddings: one file a solver; the registry finds them here."""

from fovea.training.solvers.solver import SOLVERS, Solved, SolverInfo, solve

__all__ = ["SOLVERS", "Solved", "SolverInfo", "solve"]
