"""Basic modules that all other packages use."""
