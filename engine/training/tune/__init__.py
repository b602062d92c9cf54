"""Tune: the published search for hyper-parameters."""
