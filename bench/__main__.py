"""``python -m bench``: the KMIP server; ``python -m bench key-manager``: the embedded key manager."""

import sys

if sys.argv[1:2] == ["key-manager"]:
    from bench.key_manager import main as measure_key_manager

    measure_key_manager(sys.argv[2:])
else:
    from bench.run import main

    main()
