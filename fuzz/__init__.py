"""Feeds the codec what no client should send."""
