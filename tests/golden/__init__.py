"""Golden figures of the measures, and the one script that renews them."""
