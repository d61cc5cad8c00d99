"""Corruptions of clouds: pure functions of a cloud, a severity from 1 to 5 and a generator.

Each maps points (N, 3) to points (N', 3), float64, and leaves its input as it is. `SUITES` names them by benchmark.
"""

from crosspoint.eval.corruptions.suites import SUITES, Corruption, Suite, corrupt

__all__ = ["SUITES", "Corruption", "Suite", "corrupt"]
