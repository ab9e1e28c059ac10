"""Challenges: anyone's adversarial queries, checked, ranked, and counted where they win."""
