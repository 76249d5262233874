from __future__ import annotations
import importlib,inspect,pathlib
import dbt.tests.adapter as a
root=pathlib.Path(list(a.__path__)[0])
for f in sorted(root.rglob("*.py")):
    name="dbt.tests.adapter."+".".join(f.relative_to(root).with_suffix("").parts)
    if name.endswith("__init__"): continue
    mod=importlib.import_module(name)
    for cn,c in list(vars(mod).items()):
        if inspect.isclass(c) and c.__module__==name:
            t=[x for x in dir(c) if x.startswith("test") and inspect.isfunction(inspect.getattr_static(c,x))]
            own=[k for k in vars(c) if not k.startswith('__')]
            if not own or not t: continue
            short=name[len("dbt.tests.adapter."):].replace(".","_")
            globals()[f"Test_{short}_{cn}"]=type(f"Test_{short}_{cn}",(c,),{"__module__":__name__})
