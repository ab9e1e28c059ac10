"""Tables as records, and the forms they are written in: Markdown, CSV, LaTeX, HTML, terminal.

A ``Table`` knows its rows, groups and what is bold; the ``as_…`` files know how that looks.
"""
