"""What strangers can send, and what becomes of it: an event, or a refusal that names the place. Never anything else."""
