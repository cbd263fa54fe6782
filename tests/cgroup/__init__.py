"""What the kernel does with control groups that are really handed over: `make cgroups` boots one that does."""
