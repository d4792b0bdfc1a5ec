"""The journal proved, kept and handed on: checkpoints, cuts, exports, sinks."""
