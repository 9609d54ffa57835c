"""The light path: photographs in, colours on, photographs out; numpy, pyvips and ONNX Runtime, no torch."""
