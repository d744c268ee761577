"""The cluster: one node leads, the others follow its log; see docs/howto/cluster.md and `node` for how they meet."""
