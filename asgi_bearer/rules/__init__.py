"""The rules: pure functions from values to values. Nothing here awaits, reads a clock or opens a socket. Floor 1."""
