"""Snakemake and DVC: parameters of a run, stages, the bridge between the two, documents."""
