"""`nearfield suspects`: lists labels, tags, duplicates, levels and channels that are likely wrong."""
