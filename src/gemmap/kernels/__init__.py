"""Computational kernels: an op table, a readable reference and fast backends."""
