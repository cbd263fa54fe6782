"""What waits, and what of it may start: flows, the gates before them, and what the runs at work hold.

`admission` is where all of it comes together: what the dispatcher asks for the next runs.
"""
