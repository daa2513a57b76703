"""Videos, images and tables, read from disk or generated here, with one record type each."""
