"""Nearfield learns spaces of sound in which near means alike."""
