"""Paintover on Resolve's timeline: what the scripts call. Standard library only, Python 3.9 and later.

``client`` beside this file is a copy of what :data:`plugin.client.command.CLIENT_FILES` names, made at installation.
"""
