"""Many pictures, in order, in time: threads (decoding and inference release Python's lock), never processes."""
