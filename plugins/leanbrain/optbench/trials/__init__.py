"""One trial: a workload trained by one optimizer, timed and audited."""
