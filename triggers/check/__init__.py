"""What is wrong with an app, found before anything runs: by its wiring, its needs, and its times."""
