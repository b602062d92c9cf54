"""Exemplars: a keyframe put together from several painted frames, patch by patch. Without torch."""
