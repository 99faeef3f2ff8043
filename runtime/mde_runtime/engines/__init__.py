"""Engines: what one device makes of one graph. Built where they run, kept in a cache, verified before use."""
