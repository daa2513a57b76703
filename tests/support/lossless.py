"""Lossless videos, whose pictures are decoded as they were written."""

import av


def write_video(path, pixels, rate=4):
    """Write pictures (frame, height, width, 3) uint8 as a PNG-encoded .mov file."""
    with av.open(path, "w", format="mov") as out:
        stream = out.add_stream("png", rate=rate)
        stream.height, stream.width = pixels.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in pixels:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
