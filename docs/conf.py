"""Settings of the site: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""

import importlib
import inspect
import re
import tomllib
import warnings
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx_gallery.sorting import ExplicitOrder

import skdim
from skdim.modalities import MODALITIES
from skdim.priors import Prior

HERE = Path(__file__).parent
logger = logging.getLogger("skdim.docs")

project = "skdim"
author = "The skdim developers"
copyright = f"2026, {author}"
version = release = skdim.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
    "sphinx_design",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates", "gallery", "sg_execution_times.rst"]
templates_path = ["_templates"]
default_role = "py:obj"

# ------------------------------------------------------------------ markdown

smartquotes = False  # messages are quoted to the letter
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
myst_disable_syntax = ["html_inline"]  # <lambda> in an error message is no tag

# Links out of docs/ in the repository, and the pages of the site with the same text.
ELSEWHERE = {
    "../benchmarks/README.md": "benchmarks.md",
    "../README.md": "index.md",
}


def stay_on_the_site(app, document, source):
    """Turn links to other pages of the repository into links to pages of the site."""
    for path, page in ELSEWHERE.items():
        source[0] = source[0].replace(f"]({path})", f"]({page})")
    if document == "guide":
        named = [line for line in source[0].splitlines() if not is_absent(line)]
        source[0] = "\n".join(named)


def is_absent(line: str) -> bool:
    """Whether a line of the guide links to a page that this copy of the repository lacks."""
    names = re.findall(r"\((\w+)\.md\)", line) or re.findall(r"^(\w+)$", line)
    return any(not (HERE / f"{name}.md").is_file() for name in names)


# ----------------------------------------------------------------------- API

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections have them
autodoc_default_options = {
    "exclude-members": "set_fit_request, set_partial_fit_request, set_score_request, training"
}
numpydoc_show_class_members = False  # the template lists them
numpydoc_class_members_toctree = False
maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"


def escape_stars(app, what, name, obj, options, lines):
    """Escape the star of a shape, (n, *sides), which would open emphasis; not in literals, code."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            parts[::2] = [re.sub(r"([(,] ?)(\*+)(?=\w)", r"\1\\\2", part) for part in parts[::2]]
            lines[number] = "``".join(parts)


# The parameters that most users change. The page of the class opens with them, and the signature
# shows no others: fifty lines of signature would be the first thing to be seen.
MOST_USED = {
    "skdim.DIMTransformer": (
        "n_components",
        "output",
        "channel_axis",
        "augment",
        "max_epochs",
        "random_state",
    )
}
HEADING = r"    \*\*([A-Z][a-z ]+)\*\*"
ENTRY = r"    \*\*(\w+)\*\* : .*"


def shorten_signature(app, what, name, obj, options, signature, return_annotation):
    """Show only the parameters that most users change."""
    if what != "class" or name not in MOST_USED:
        return None
    parameters = inspect.signature(obj).parameters
    shown = [f"{parameter}={parameters[parameter].default!r}" for parameter in MOST_USED[name]]
    return f"({', '.join([*shown, '...'])})", return_annotation


def write_headings(app, what, name, obj, options, lines):
    """Make headings of lines such as ``Model`` between parameters, which numpydoc takes for one."""
    if what == "class" and name in MOST_USED:
        fold_parameters(lines, MOST_USED[name])
        return
    for number, (line, following) in enumerate(pairwise(lines)):
        heading = re.fullmatch(HEADING, line)
        if what == "class" and heading and following.strip() == "..":
            lines[number : number + 2] = [f"    .. rubric:: {heading[1]}", ""]


def fold_parameters(lines: list[str], most_used: tuple[str, ...]) -> None:
    """Write the most used parameters first, and fold all others under their headings."""
    start = lines.index(":Parameters:") + 1
    stop = next(n for n in range(start, len(lines)) if re.match(r"\S", lines[n]))
    groups: dict[str, dict[str, list[str]]] = {}
    for line in lines[start:stop]:
        if heading := re.fullmatch(HEADING, line):
            entries = groups[heading[1]] = {}
        elif entry := re.fullmatch(ENTRY, line):
            text = entries[entry[1]] = [line]
        elif groups and entries:
            text.append(line)
    everything = {name: text for entries in groups.values() for name, text in entries.items()}
    folded = ["", *(line for name in most_used for line in everything[name])]
    for heading, entries in groups.items():
        others = [name for name in entries if name not in most_used]
        folded += [f"    .. dropdown:: {heading}: {', '.join(others)}", ""]
        folded += [f"    {line}" if line else "" for name in others for line in entries[name]]
        folded += [""]
    lines[start:stop] = folded


# Packages whose ``__all__`` is public, and registries: all that they name must be on the page.
PACKAGES = ["skdim", "skdim.sources", "skdim.evaluation", "skdim.displays"]
REGISTRIES = [
    "skdim.mutual_information.ESTIMATORS",
    "skdim.critics.CRITICS",
    "skdim.priors.PRIORS",
    "skdim.encoders.ENCODERS",
    "skdim.objective.coordinates.COORDINATES",
    "skdim.optimization.OPTIMIZERS",
    "skdim.optimization.SCHEDULES",
]
# Names that the page leaves out, although a package's __all__ has them.
INTERNAL = (
    "skdim.__version__",  # a string
    "skdim.sources.Part",  # what indexing a source returns
    "skdim.sources.StoredSamples",  # what fit makes of a source
)


def resolve(path: str):
    """Return what a dotted path such as ``skdim.critics.CRITICS`` names."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def names_on_the_page() -> set[str]:
    """Return the names that the page of the API lists."""
    lines = re.findall(r"^ +~?(skdim\.[\w.]+)$", (HERE / "api.md").read_text(), re.MULTILINE)
    return set(lines)


def names_of_registry(registry: str) -> set[str]:
    """Return the names of skdim's functions and classes in a registry, in the registry's module."""
    module = registry.rsplit(".", 1)[0]
    entries = [objects_of(value)[0] for value in resolve(registry).values()]
    return {f"{module}.{e.__name__}" for e in entries if e.__module__.startswith("skdim")}


def check_that_the_api_is_whole(app):
    """Warn of names that the page of the API lacks, and of those that do not exist there."""
    listed = names_on_the_page()
    expected = {
        f"{package}.{name}" for package in PACKAGES for name in resolve(f"{package}.__all__")
    }
    expected.update(*map(names_of_registry, REGISTRIES))
    views = [modality.augment for modality in MODALITIES if modality.augment]
    expected.update(f"skdim.augmentation.{function.__name__}" for function in views)
    for name in sorted(expected - listed - set(INTERNAL)):
        logger.warning("docs/api.md does not list %s.", name)
    for name in sorted(listed - set(REGISTRIES)):
        try:
            documented = inspect.getdoc(resolve(name))
        except (ImportError, AttributeError):
            logger.warning("docs/api.md lists %s, which does not exist.", name)
        else:
            if not documented:
                logger.warning("docs/api.md lists %s, which has no docstring.", name)


class Registry(SphinxDirective):
    """``.. registry:: skdim.critics.CRITICS``: its names and what they stand for, as a table."""

    required_arguments = 1

    def run(self):
        """Build the table from the dict itself."""
        module = self.arguments[0].rsplit(".", 1)[0]
        lines = [".. list-table::", "   :widths: 25 75", ""]
        for key, value in resolve(self.arguments[0]).items():
            lines += [f"   * - ``{key!r}``", f"     - {describe(module, objects_of(value))}"]
        return self.parse_text_to_nodes("\n".join(lines))


class Modalities(SphinxDirective):
    """``.. modalities::``: each modality with its default encoder and views, as a table."""

    def run(self):
        """Build the table from the rows themselves."""
        lines = [".. list-table::", "   :widths: 15 15 70", "   :header-rows: 1", ""]
        lines += ["   * - X holds", "     - ``encoder``", "     - ``augment``"]
        for modality in MODALITIES:
            function = modality.augment
            views = describe("skdim.augmentation", [function]) if function else "none"
            lines += [f"   * - {modality.name}", f"     - ``{modality.encoder!r}``"]
            lines += [f"     - {views}"]
        return self.parse_text_to_nodes("\n".join(lines))


def objects_of(value) -> list:
    """Return the functions and classes that a name stands for, the most important one first."""
    if isinstance(value, Prior):
        value = (value.sample, value.squash)
    values = value if isinstance(value, tuple) else (value,)
    return [each for each in values if hasattr(each, "__name__")]


def describe(module: str, objects: list) -> str:
    """Link those objects that the page lists, with the summary of the first one."""
    listed = names_on_the_page()
    links = [f"`~{module}.{o.__name__}`" for o in objects if f"{module}.{o.__name__}" in listed]
    first = objects[0]
    if not links:
        return f"``{first.__module__.split('.')[0]}``'s ``{first.__name__}``"
    summary = inspect.getdoc(first).split("\n\n")[0].replace("\n", " ")
    return f"{', '.join(links)}: {summary}"


def themes_of_the_api() -> dict[str, list[str]]:
    """Return the names on the page of the API under their headings, for its sidebar."""
    _, *sections = re.split(r"^## (.+)$", (HERE / "api.md").read_text(), flags=re.MULTILINE)
    return {
        heading: re.findall(r"^ +~(skdim\.[\w.]+)$", section, re.MULTILINE)
        for heading, section in zip(sections[::2], sections[1::2], strict=True)
    }


def give_themes(app, page, template, context, doctree):
    """Let the sidebar of the API know its themes."""
    context["themes_of_the_api"] = themes_of_the_api()


# ------------------------------------------------------------------- gallery

mpl.use("Agg")
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
# Folders of examples, in the order of the page.
SECTIONS = ["few_labels", "kinds_of_data", "displays", "production", "extending"]
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "subsection_order": ExplicitOrder([f"gallery/{section}" for section in SECTIONS]),
    "remove_config_comments": True,
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skdim",),
    "abort_on_example_error": False,
    "download_all_examples": False,
    "thumbnail_size": (480, 320),
    "image_srcset": ["2x"],  # sharp on phones
    "show_memory": False,
    "plot_gallery": True,
    "write_computation_times": False,
    "copyfile_regex": "",
}

# ---------------------------------------------------------------------- HTML

PYPROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())
ADDRESSES = PYPROJECT["project"].get("urls", {})

# Links at the top of every page, as far as there are addresses.
ICONS = {"Repository": "fa-code-branch", "Issues": "fa-circle-question"}

html_theme = "pydata_sphinx_theme"
html_title = f"skdim {release}"
html_context = {
    "default_mode": "auto",
    "summary": "Features learned without labels, as an ordinary scikit-learn transformer.",
    "site": ADDRESSES.get("Documentation", "").rstrip("/"),
}
html_static_path = ["_static"]
html_css_files = ["skdim.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_search_scorer = str(HERE / "search_scorer.js")
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": f"skdim {release}", "alt_text": "skdim: to the start page"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "icon_links": [
        {"name": label, "url": address, "icon": f"fa-solid {ICONS[label]}"}
        for label, address in ADDRESSES.items()
        if label in ICONS
    ],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {
    "index": [],
    "installation": [],
    "changelog": [],
    "api": ["sidebar-api"],
    "generated/*": ["sidebar-api"],
}


def inline_math(translator, node):
    """Write an inline formula as MathML, which browsers draw without a script."""
    translator.body.append(f"<span class='math'>{tex2mathml(node.astext())}</span>")
    raise nodes.SkipNode


def block_math(translator, node):
    """Write a displayed formula as MathML."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f"<div class='math'>{formula}</div>")
    raise nodes.SkipNode


def setup(app):
    """Connect directives, formulas and hooks to Sphinx."""
    app.add_directive("registry", Registry)
    app.add_directive("modalities", Modalities)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("source-read", stay_on_the_site)
    app.connect("autodoc-process-signature", shorten_signature, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", escape_stars, priority=100)  # before numpydoc
    app.connect("autodoc-process-docstring", write_headings, priority=900)  # after it
    app.connect("html-page-context", give_themes)
    app.connect("builder-inited", check_that_the_api_is_whole)
    return {"parallel_read_safe": True}
