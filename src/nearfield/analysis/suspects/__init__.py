"""`nearfield suspects`: labels, tags, duplicates, levels and channels that look wrong, ranked."""
