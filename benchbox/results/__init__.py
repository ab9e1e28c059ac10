"""Reading a finished run: its tables, its record, and the artefacts of its stages."""
