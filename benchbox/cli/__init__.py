"""The command line: a file a command or group of commands, joined in `main`."""
