"""Studies: model families that are trained, measured and compared on equal terms."""
