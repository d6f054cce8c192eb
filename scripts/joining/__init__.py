"""How strangers join a network: a bundle is fetched, a node's folder made, the log followed."""
