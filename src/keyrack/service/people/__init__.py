"""People: how they prove who they are, what they may, and who says so."""
