"""Look: a trained translator as a file, what is checked of it, and a session that stylizes images with it."""
