"""Nuke runs this only where it has a window: the node in the toolbar."""

import nuke

nuke.menu("Nodes").addMenu("Paintover").addCommand("Paintover", 'nuke.createNode("Paintover")')
