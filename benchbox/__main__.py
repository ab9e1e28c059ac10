"""``python -m benchbox`` is the command line."""

from benchbox.cli import main

if __name__ == "__main__":
    main()
