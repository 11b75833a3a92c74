"""Figures of a run for a paper, at the size at which they are printed."""
