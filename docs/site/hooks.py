"""What makes a site of README, docs, examples and notebooks, which are written for a repository browser, too.

MkDocs calls the functions with `on_` in their names. Every file of the repository that a document links to is a page:
`PAGES` says where those stand that are not documents, and sources stand under `source/`.
"""

import ast
import pathlib
import posixpath
import re

import notebooks
from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "LICENSE": "license.md",
    "examples": "examples/index.md",
}
WRITTEN = re.compile(  # code, or where a link leads
    r"""^( *)```.*?^\1```|(?<=\]\()[^)\s]+|(?<= src=")(?!data:)[^"]+|(?<= srcset=")[^"]+""", re.DOTALL | re.MULTILINE
)
CODE = re.compile(r"^( *)```.*?^\1```|(?<![\[`])`(jaxhpt(?:\.\w+)+)`(?![\]`])", re.DOTALL | re.MULTILINE)
TOLD = re.compile(r"^::: ([\w.]+)(?:\n +options: .*?heading: ([\w.]+))?", re.MULTILINE)
ALONE = ("README.md", "docs/coming_from.md", "docs/benchmarks.md")  # no pages stand beside them in the navigation
LISTS = ("docs/benchmarks.md", "CHANGELOG.md", "examples/")
MORE = "How to"  # the part of the navigation that gets pages which no part names


def on_config(config):
    """Name all documents in the navigation: a new one needs no line of its own."""
    named = set(leaves(config.nav))
    part = next(entry[MORE] for entry in config.nav if MORE in entry)
    part += [path for path in map(page_of, documents()) if path not in named]
    return config


def on_files(files, config):
    """Add the pages that stand outside of `docs`, or are no Markdown there."""
    added = [File.generated(config, uri, content=content) for uri, content in sorted(pages().items())]
    return Files([*files, *added])


def on_page_markdown(markdown, page, config, files):
    """Let links lead to pages of the site, and searches find what explains before what lists."""
    here = file_of(page.file.src_uri)
    if here in ALONE:
        page.meta["hide"] = ["navigation"]
    if here.startswith(LISTS):
        page.meta.setdefault("search", {"boost": 0.3})
    if "/reference/" not in here:
        markdown = referring(markdown)
    return indented(relinked(markdown, here, page.file.src_uri))


def leaves(nav):
    """Yield the pages that a navigation names."""
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from leaves(value) if isinstance(value, list) else [value]


def documents():
    """Return what people write for readers: paths from the top of the repository."""
    found = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    inner = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *inner]


def page_of(path):
    """Return where a file of the repository stands on the site."""
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    if path.startswith("examples/"):
        return re.sub(r"\.py$", ".md", path)
    return PAGES.get(path, f"source/{path}.md")


def file_of(uri):
    """Return the file of the repository that a page stands for, a document or the like."""
    known = {page_of(path): path for path in [*documents(), *PAGES]}
    return known.get(uri, re.sub(r"\.md$", ".py" if uri.startswith("examples/") else "", uri))


def targets(path):
    """Return the files of the repository that a document links to."""
    text = (ROOT / path).read_text()
    links = [found.group() for found in WRITTEN.finditer(text) if not found.group().lstrip().startswith("```")]
    inner = (re.sub(r"#.*", "", link) for link in links if "://" not in link)
    return {posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in inner if link}


def pages():
    """Return the pages that are not there as Markdown in `docs`: where on the site, and the text."""
    examples = sorted((ROOT / "examples").glob("*.py"))
    made = {page_of(path): (ROOT / path).read_text() for path in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")}
    made["license.md"] = f"# License\n\n```text\n{(ROOT / 'LICENSE').read_text()}```\n"
    made |= {f"examples/{path.stem}.md": program(path) for path in examples}
    made["examples/index.md"] = listed(examples)
    made |= {page_of(path): notebooks.page(ROOT / path) for path in documents() if path.endswith(".ipynb")}
    sources = set().union(*map(targets, documents()))
    return made | {page_of(path): source(path) for path in sources if page_of(path).startswith("source/")}


def program(path):
    """Return the page of an example: what it is, then its code."""
    return f"# {path.name}\n\n{told(path)}\n\n```python\n{path.read_text()}```\n"


def listed(paths):
    """Return the page that lists the examples."""
    return "# Examples\n\n" + "".join(f"- [{path.name}]({path.stem}.md): {told(path)}\n" for path in paths)


def told(path):
    """Return the first paragraph of the docstring of a module."""
    return " ".join(ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].split())


def source(path):
    """Return the page of a source file, or of a folder: what its files are."""
    if (ROOT / path).is_dir():
        inner = [f"- {file.name}: {told(file)}\n" for file in sorted((ROOT / path).glob("*.py"))]
        return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n{''.join(inner)}"
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n```python\n{(ROOT / path).read_text()}```\n"


def relinked(text, here, uri):
    """Return Markdown of a file `here` whose links lead from the page `uri` to pages."""

    def one(found):
        link = found.group()
        if link.lstrip().startswith("```") or "://" in link or link.startswith("#"):
            return link
        path, mark, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        if not (ROOT / target).exists():  # of a page that was made for the site
            return link
        return posixpath.relpath(page_of(target), posixpath.dirname(uri) or ".") + mark + anchor

    return WRITTEN.sub(one, text)


def told_of():
    """Return the names that the reference tells of, as users write them: name -> where."""
    texts = (path.read_text() for path in sorted((ROOT / "docs" / "reference").glob("*.md")))
    return {heading or name: name for text in texts for name, heading in TOLD.findall(text)}


def referring(text):
    """Return Markdown whose public names lead to the reference."""
    names = told_of()

    def one(found):
        name = names.get(found.group(2))
        return f"[{found.group()}][{name}]" if name else found.group()

    return CODE.sub(one, text)


def indented(text):
    """Indent what belongs to a numbered entry by four columns, as Python's Markdown wants it, for GitHub's three."""
    lines, inside = [], False
    for line in text.splitlines():
        inside = bool(re.match(r"\d+\. ", line)) or (inside and (not line or line.startswith("   ")))
        lines.append(f" {line}" if inside and line.startswith("   ") else line)
    return "\n".join(lines)
