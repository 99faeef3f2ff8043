"""The bench: how fast a bundle is, how faithful and how right. Loads nothing heavy itself; import what you need."""
