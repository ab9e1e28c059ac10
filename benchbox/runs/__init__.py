"""Runs a grid: from its lists to cells and stages, who does those, and the folder they fill."""
