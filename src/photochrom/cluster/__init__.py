"""Runs over folders too large for one machine, on a Dask cluster."""


class ClusterError(Exception):
    """The cluster cannot be reached or has failed."""
