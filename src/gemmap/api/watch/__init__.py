"""Particles taken as a pipeline writes them: a folder is watched, sums grow, and results are made anew."""
