"""Ground that everything else stands on."""
