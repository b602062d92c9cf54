"""Model: networks, how they carry strokes, and the losses that judge them."""
