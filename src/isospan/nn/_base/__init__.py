"""What layers share: constants, cached weights, checks."""
