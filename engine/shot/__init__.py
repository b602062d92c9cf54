"""Shot: plate, keyframes and mattes as a user names them, shot.toml, and the one way to read a plate's frame."""
