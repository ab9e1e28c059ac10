"""Input that a stranger may have made.

What comes with a run, an entry or a board may be written to hurt: to run code, to exhaust memory,
to hang, or to print what is not there. So it is read whole and bounded in size, depth and number
of digits; it is validated against a record that refuses unknown fields; nothing in it is run; and
what is printed of it is one printable line. Each reader names the file and the key at fault.
"""
