"""Robustness and speed in CI: a run beside a committed baseline, red beyond noise.

``verdict`` says what is noise and what is seen with how many queries and seeds. The same
comparison is a command (``run``) and a fixture of pytest (``pytest_plugin``).
"""
