"""Several nodes over PostgreSQL with a standby, real processes all of them; what is done to them; what clients saw.

``history`` and ``checking`` are the words and the law, and know no processes. ``pair`` is the two PostgreSQL servers,
``ways`` the connections that can be cut, ``nodes`` one endpoint, ``rig`` all of it. ``clients`` ask and note; ``load``
and ``storm`` are many of them.
"""
