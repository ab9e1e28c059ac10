"""Robustness in CI: a run beside a committed baseline, red beyond noise."""
