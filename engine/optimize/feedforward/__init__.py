"""Feed-forward stylization: looks from style images, trained on the shot's own frames. Its job is free of torch."""
