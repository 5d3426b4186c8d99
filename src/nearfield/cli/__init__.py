"""Doors for people: the command line. Every command is one call of the library."""
