"""A copy of Paintover's client for hosts, made by ``paintover install nuke``: changes here are lost."""
