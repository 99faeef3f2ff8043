"""The first hour of a newcomer: own pictures, own depth camera, own network, a public one, played by the commands."""
