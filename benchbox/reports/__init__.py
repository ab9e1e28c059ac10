"""What a finished run is shown as: tables, figures and a report in one file.

Everything is made from the run's folder alone, so it can be made again, elsewhere, and later.
"""
