"""Searching the settings of a spec with Optuna, by the AUROC on validation images."""
