"""Sequences from style images: frames painted by optimization so that they hold together in time."""
