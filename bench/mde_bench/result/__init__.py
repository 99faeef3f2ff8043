"""A run's result: as it is kept, the verdict on it, and the gate that fails a build."""
