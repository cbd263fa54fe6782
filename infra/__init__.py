"""What runs the reference pipeline: units, containers, settings, and the pictures of the docs."""
