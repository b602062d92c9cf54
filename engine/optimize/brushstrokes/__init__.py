"""Brushstrokes: pictures made of curves that descent moves, bends and colors. Their job alone is free of torch."""
