"""Docstrings and signatures as readers of a site want them; loaded by Griffe, which reads the package as text."""

import re

import griffe

NAME = re.compile(r"(?<![\[`])`(?:jaxhpt\.)?([A-Za-z_][\w.]*)`(?![\]`])")
PAGE = re.compile(r"`docs/(\w+\.md)`")


class Docstrings(griffe.Extension):
    """Link public names to where they are told, call examples as Griffe does, and show defaults by their values."""

    def on_package(self, *, pkg, loader, **kwargs):
        """Look at all objects once the package is whole."""
        public = {str(name): pkg[str(name)] for name in pkg.exports if str(name) in pkg.members}
        for obj in _objects(pkg):
            if obj.docstring:
                obj.docstring.value = _linked(obj.docstring.value, obj, public)
            for parameter in obj.parameters if obj.is_function else ():
                parameter.default = _value(parameter.default, pkg)


def _objects(obj):
    for member in list(obj.members.values()):
        if not member.is_alias:
            yield member
            yield from _objects(member)


def _linked(text, obj, public):
    lines = text.replace("\nExample:\n", "\nExamples:\n").split("\n")
    return "\n".join(line if line.lstrip().startswith((">>>", "...")) else _told(line, obj, public) for line in lines)


def _told(line, obj, public):
    return PAGE.sub(r"[\g<0>](../\1)", NAME.sub(_link(obj, public), line))


def _link(obj, public):
    """Return what makes a link of a public name, or of an attribute of one; not of the object's own."""

    def one(found):
        first, _, rest = found.group(1).partition(".")
        if first not in public or first == obj.name or (rest and rest not in public[first].all_members):
            return found.group()
        shadowed = public[first].is_module and first in public[first].members  # a module of the function's name
        path = f"{first}.{first}" if shadowed else found.group(1)
        return f"[{found.group()}][jaxhpt.{path}]"

    return one


def _value(default, pkg):
    """Return the value of a constant of the package, as it is written; all else as it is."""
    path = getattr(default, "canonical_path", "")
    if not path.startswith("jaxhpt.") or not path.rpartition(".")[2].isupper():
        return default
    return str(pkg[path.removeprefix("jaxhpt.")].value)
