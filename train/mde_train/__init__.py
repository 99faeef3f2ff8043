"""Data, models, losses and training. Loads nothing heavy itself: import the module that you need."""
