"""Shared foundations: errors, settings, random streams, common types, atomic files."""
