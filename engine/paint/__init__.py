"""Paint: a painterly renderer, for people who have no painting yet."""
