"""What a plain `import chainrule` loads."""

import subprocess
import sys

LIST_WHAT_IMPORT_LOADS = """
import sys

before = set(sys.modules)
import chainrule

# Cython enters tables of its own into sys.modules, without a spec: they are no imports.
loaded = {
    name.partition(".")[0]
    for name, module in list(sys.modules.items())
    if name not in before and getattr(module, "__spec__", None)
}
# The one module of the standard library whose name depends on the machine.
loaded = {name for name in loaded if not name.startswith("_sysconfigdata_")}
print(*sorted(loaded - sys.stdlib_module_names))
"""


def test_import_loads_numpy_alone():
    fresh = subprocess.run(
        [sys.executable, "-c", LIST_WHAT_IMPORT_LOADS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert fresh.returncode == 0, fresh.stderr
    intruders = set(fresh.stdout.split()) - {"chainrule", "numpy"}
    assert not intruders, f"import chainrule loads {', '.join(sorted(intruders))} as well"
