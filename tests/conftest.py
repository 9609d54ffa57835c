"""Shapes are checked in tests alone: every annotated function of the package goes through beartype."""

from jaxtyping import install_import_hook

hook = install_import_hook(["photochrom.core", "photochrom.engine"], "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
