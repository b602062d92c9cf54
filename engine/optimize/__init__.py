"""Optimization: pictures found by gradient descent on their own pixels. Its job alone is free of torch."""
