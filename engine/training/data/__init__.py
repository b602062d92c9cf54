"""Data: keyframes from disk to tensors, and the crops that training draws from them."""
