"""The toy study: a weighted majority vote."""
