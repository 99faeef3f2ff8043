"""How fast, how faithful, how right. Loads nothing heavy itself: import the module that you need."""
