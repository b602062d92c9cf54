"""Live: frames of a movie, a camera or an address in as they come, stylized frames out; none waits for another."""
