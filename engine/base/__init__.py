"""Base: what every other package stands on: errors, frame ranges and sequence paths, atomic files, the machine."""
