"""Methods to compare with: one file each, and their torch-free facts in :mod:`baselines.info`."""
