"""``python -m bench``: the KMIP server; ``key-manager``: the embedded one; ``outage``: one that fails;
``admin``: what administrators do; ``postgres``: the catalog in PostgreSQL, beside SQLite and pgbench;
``capacity``: how a site grows; ``storm``: how one boots over two nodes; ``console``: what a person waits for."""

import sys

match sys.argv[1:2]:
    case ["key-manager"]:
        from bench.key_manager import main as measure_key_manager

        measure_key_manager(sys.argv[2:])
    case ["admin"]:
        from bench.admin import main as measure_administration

        measure_administration(sys.argv[2:])
    case ["postgres"]:
        from bench.postgres import main as measure_postgres

        measure_postgres(sys.argv[2:])
    case ["capacity"]:
        from bench.capacity import main as measure_capacity

        measure_capacity(sys.argv[2:])
    case ["storm"]:
        from bench.storm import main as measure_storm

        measure_storm(sys.argv[2:])
    case ["console"]:
        from bench.console import main as measure_console

        measure_console(sys.argv[2:])
    case ["outage"]:
        from bench.outage import main as measure_outage

        measure_outage(sys.argv[2:])
    case _:
        from bench.run import main

        main()
