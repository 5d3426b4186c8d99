"""Analysis of runs: explanations, suspects, comparisons, run tables, triplets, similarity of sounds."""
