"""Session: a trainer that stays warm, for those who paint and look while it trains."""
