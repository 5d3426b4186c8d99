"""Tools to hear a space by: songs of clips, walks, arithmetic, blinded listening tests."""
