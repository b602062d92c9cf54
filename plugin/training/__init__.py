"""Training: the training process as the command line sees it, and what a look was trained from."""
