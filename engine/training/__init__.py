"""Training of a look. Beside engine.optimize, the only package that imports torch."""
