"""Networks, their training and their checkpoints, shared by the studies."""
