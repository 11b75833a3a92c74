"""Particle tables, image stacks, half-sets and batches."""
