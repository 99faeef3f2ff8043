"""Engines at the end of an export: built and judged on this machine, and the cures for one whose depth is wrong."""
