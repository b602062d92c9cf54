"""Phases: the parts of a job that single verbs, `run` and `submit` share."""
