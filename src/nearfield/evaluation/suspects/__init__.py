"""What in a collection looks wrong, ranked, with reasons: labels, tags, duplicates, levels, channels."""
