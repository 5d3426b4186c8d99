"""Layouts, networks and a sampler that are needed only to replicate published work."""
