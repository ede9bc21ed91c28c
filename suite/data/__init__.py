"""Data sets: where they come from, how they are packed once into memory-mapped arrays, and how they are
split.
"""
