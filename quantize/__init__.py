"""Fixed point, the float and the quantized network, calibration, and the NumPy integer oracle. NumPy only."""
