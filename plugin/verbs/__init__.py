"""Verbs: one module for each; `plugin.cli` finds it by name."""
