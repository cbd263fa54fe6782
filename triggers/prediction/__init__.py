"""How long runs will take and when they will start and end, learned from those that ended; and how good that was."""
