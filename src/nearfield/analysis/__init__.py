"""What a trained space holds: explanations, suspects, comparisons, run tables, triplets, similarity."""
