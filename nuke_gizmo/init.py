"""Nuke runs this in every mode, with and without a window: frames are checked, or made, before a Write wants them."""

import paintover_nuke

paintover_nuke.register()
