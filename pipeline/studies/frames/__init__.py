"""Study: what the frames of a video contribute to a video model (Play Fair)."""
