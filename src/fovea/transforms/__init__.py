"""Sample -> Sample: preprocessing (always the same) and, for training only, augmentation."""
