"""Feature maps -> vectors, computed once for each picture and kept on disk."""
