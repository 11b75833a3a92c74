"""Structures to particles with a known truth."""
