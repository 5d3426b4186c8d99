"""What every room stands on: errors, settings, seeds, the nouns that travel, whole-or-nothing files."""
