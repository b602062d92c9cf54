"""A copy of Paintover's client for hosts, made by ``paintover install resolve``: changes here are lost."""
