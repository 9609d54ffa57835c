"""Pretrained networks that families look through: pinned weights, none downloaded at import."""
