"""The command line: a file a command or group of commands, joined in ``main``.

Each is a thin layer over a function that a notebook can call. PyTorch is imported inside the
commands, after what can be refused without it.
"""
