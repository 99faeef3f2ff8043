"""The report: one HTML page that holds everything it shows and asks the network for nothing."""
