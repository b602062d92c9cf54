"""Tests of engine.live."""
