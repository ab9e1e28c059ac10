"""Datasets: found, read, checked, and their images loaded.

A dataset is three lists of images with identity and camera (``protocol``). ``sources`` knows every
name a grid may use, one file a dataset; ``layouts`` how they lie on disk; ``finding`` looks for
them on this machine, ``reading`` refuses a faulty one, ``sidewalk`` renders what needs no download,
and ``holding_out`` makes a validation split of training identities.
"""
