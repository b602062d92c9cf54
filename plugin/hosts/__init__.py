"""Hosts: what is written for Nuke, Flame and DaVinci Resolve, and put where they look for it."""
