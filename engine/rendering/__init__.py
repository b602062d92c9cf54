"""Rendering: frames in, frames out, in one process or several, and whether what is on disk is right."""
