"""Pretrained networks with pinned weights; nothing is downloaded."""
