"""Ways to compute an equivariant map from its coefficients."""
