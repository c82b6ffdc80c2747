"""What symmetry saves in samples: test errors of equivariant and plain perceptrons over the number of samples."""
