"""DIA (Shi et al., ECCV 2024): dissolving, views, contrast, network, training and scoring. CSI is DIA without
its third branch.
"""
