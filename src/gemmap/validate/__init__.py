"""Maps in, curves and numbers out."""
