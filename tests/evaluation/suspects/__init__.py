"""Tests of the finding of suspects."""
