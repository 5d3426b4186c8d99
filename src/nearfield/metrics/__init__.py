"""Measures of a space, plain functions on arrays: retrieval, probes, tags, clusters, geometry, time."""
