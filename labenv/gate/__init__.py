"""The gate: an SSH server in which a student of a class reaches their own machines and a few commands, and nothing else.

It runs in one process with one event loop. What a student runs is held here, apart from the line on which they came, so a line
that drops ends nothing. AsyncSSH speaks the protocol; it is loaded only by the modules that need it.
"""
