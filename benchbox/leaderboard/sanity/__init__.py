"""Sanity checks of a submitted defense: is its robustness real, or is the attack fooled?"""

from benchbox.leaderboard.sanity.checks import CHECKS, run_checks
from benchbox.leaderboard.sanity.subject import Subject

__all__ = ["CHECKS", "Subject", "run_checks"]
