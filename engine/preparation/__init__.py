"""Preparation: files made once for each frame before training and rendering: guide images and denoised frames."""
