"""Preparation: files made for each frame before training and rendering: STMaps, guide images and denoised frames."""
