"""Learning: settings, the run's folder, the loop, the strategies."""
