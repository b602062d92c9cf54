"""Benchmarks, ``python -m engine.bench``: how fast training, inference and rendering are here, and how good the result.

Ours stands beside configuration P of Texler et al. 2020 (``texler2020``) in the same run. See docs/benchmarks/README.md
for what the figures mean.
"""
