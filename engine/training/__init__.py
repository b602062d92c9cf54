"""Training of a look. The only package that imports torch."""
