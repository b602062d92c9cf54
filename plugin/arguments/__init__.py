"""Arguments: what a command line may say, and the shot that it means."""
