"""A space for use: vectors of a collection with who they are, searched by sound, kept up to date, mended."""
