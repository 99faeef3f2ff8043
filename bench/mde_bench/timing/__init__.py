"""Latency: candidates in processes of their own, interleaved, and the statistics of their times."""
