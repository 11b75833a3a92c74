"""Rotations and grids."""
