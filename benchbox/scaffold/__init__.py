"""A working defense and its test to start from."""
