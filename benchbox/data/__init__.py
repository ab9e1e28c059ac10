"""Datasets in the Market-1501 protocol: found, read, checked, and their images loaded.

A dataset is three lists of images with identity and camera (``protocol``). ``finding`` knows every
name a grid may use, ``reading`` refuses a faulty folder, ``sidewalk`` renders what needs no
download, and ``holding_out`` makes a validation split of training identities.
"""
