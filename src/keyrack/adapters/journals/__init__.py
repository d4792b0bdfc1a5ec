"""The journal's files beside the catalog: the key that signs checkpoints, and those that were exported."""
