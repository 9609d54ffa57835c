"""Bundles of trained models; Photochrom finds them beside this file."""
