"""Fuzzer: hostile images, looks, texts and protocol lines, each made from a seed and a number."""
