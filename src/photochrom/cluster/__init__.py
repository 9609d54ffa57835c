"""Runs over folders too large for one machine, on a Dask cluster."""


class ClusterError(Exception):
    """The cluster cannot be reached or has failed."""


class ManifestError(ValueError):
    """A file is not a manifest, cannot be read or written, or is in use by another run."""
