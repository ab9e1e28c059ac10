"""Tables, figures and the one-file report of a run, made from the run's folder alone."""
