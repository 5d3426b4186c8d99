"""Tests of the evaluation room, and the slow versions that they compare with."""
