"""Stand-ins for packages that others import at their top and never use on the way taken here.

A speech model's package often imports the tools that it was trained or converted with. Where nothing of them is
called, a stand-in with the imported names spares the user their installation. It is there only while the package is
imported: nobody else may take it for the real one.

Imported by engines, before their packages; nobody else.
"""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def stood_in(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Have modules importable inside, and as they were afterwards.

    Args:
        modules: Dotted name to what the module holds; a parent stands before its children.
    """
    before = {name: sys.modules.get(name) for name in modules}
    for name, held in modules.items():
        # A module without a spec breaks those who ask `find_spec` whether a package is there.
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__dict__.update(held)
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent in modules:
            setattr(sys.modules[parent], child, module)
    try:
        yield
    finally:
        for name, module_before in before.items():
            if module_before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module_before
