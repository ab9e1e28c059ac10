"""``python -m benchbox`` is the command line."""

from benchbox.cli.main import main

if __name__ == "__main__":
    main()
