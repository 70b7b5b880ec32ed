"""What "auto" stands for: backbone, weights, strategy and size, chosen by what is at hand, and said in plain sentences."""
