"""Import paths of other libraries; each package here only re-exports what isospan implements elsewhere."""
