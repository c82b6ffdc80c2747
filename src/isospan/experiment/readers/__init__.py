"""Fields and arrays in NetCDF, HDF5, Zarr and NumPy files or in memory, read in slices of samples."""

from isospan.experiment.readers._arrays import as_array, open_arrays
from isospan.experiment.readers._fields import open_fields
from isospan.experiment.readers._sources import Channels, FieldArray, FieldSource

__all__ = ["Channels", "FieldArray", "FieldSource", "as_array", "open_arrays", "open_fields"]
