"""L8. Launches: one experiments command rendered for a machine, a cluster or a pod, shown, and run when asked to."""
