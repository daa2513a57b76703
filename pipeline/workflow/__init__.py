"""Snakemake and DVC: parameters of a run, stages, the bridge between both, documents."""
