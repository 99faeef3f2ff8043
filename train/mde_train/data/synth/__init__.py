"""A procedural data set: streets and rooms, ray-cast, with exact depth. Made by `mde-data synth`."""
