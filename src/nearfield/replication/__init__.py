"""What only the repetition of the published sources needs."""
