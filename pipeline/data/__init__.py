"""Videos, images and tables, read from disk or made here: one record type each."""
