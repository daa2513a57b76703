"""Stages that fill the store of any enumerated game."""
