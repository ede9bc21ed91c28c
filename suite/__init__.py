"""The engine of the experiment suite: specs, plans, runs, tables and the DIA method (Shi et al., ECCV 2024)."""

__version__ = "0.1.0"
