"""Import paths and argument names of other libraries, for what isospan implements elsewhere and nothing more."""
