"""Coverage-guided fuzzing of the codec with atheris: ``python fuzz/fuzz_wire.py CORPUS_DIRECTORY -runs=1000000``.

Needs ``pip install atheris==3.0.0`` (Python 3.11). ``--write-seeds CORPUS_DIRECTORY`` fills the corpus first. The first
byte of an input chooses what it is read as; the generated functions are compiled before they are instrumented.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import atheris

with atheris.instrument_imports(include=["keyrack.wire"]):
    from fuzz import targets
    from fuzz.seeds import seeds
    from keyrack.spec.versions import VERSIONS
    from keyrack.wire import codec


def one_input(data: bytes) -> None:
    """Read one input in the way its first byte says."""
    if len(data) < 2:
        return
    way, version, rest = data[0], VERSIONS[data[1] % len(VERSIONS)], data[2:]
    if way == 0:
        targets.request(rest)
    elif way == 1:
        targets.any_tree(rest)
    elif way == 2:
        targets.response(rest)
    else:
        targets.structure(targets.STRUCTURES[(way - 3) % len(targets.STRUCTURES)], version, rest)


def write_seeds(directory: Path) -> None:
    """Write the beginnings of the mutation fuzzer as a corpus."""
    directory.mkdir(parents=True, exist_ok=True)
    for number, each in enumerate(seeds()):
        way = 0 if each.cls is None else 3 + targets.STRUCTURES.index(each.cls)
        start = bytes([way, VERSIONS.index(each.version)])
        (directory / f"seed-{number:05}").write_bytes(start + each.data)


def instrument_generated() -> None:
    """Have the functions that the codec generates counted too: they are where the reading is done."""
    compiled = codec.compile_function

    def counted(*arguments: Any) -> Any:
        return atheris.instrument_func(compiled(*arguments))

    codec.compile_function = counted


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write-seeds"]:
        write_seeds(Path(sys.argv[2]))
    else:
        instrument_generated()
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
