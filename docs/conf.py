"""Settings of the site: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""

import importlib
import inspect
import re
import warnings
from pathlib import Path

import matplotlib as mpl
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import skdim

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

# Links that lead out of docs/ in the repository, and where the same text is on the site.
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
    """Whether a line of the guide leads to a page that this copy of the repository lacks."""
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
    """Keep the star of a shape, (n, *sides), from opening emphasis; literals and code stay."""
    for number, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")
            parts[::2] = [re.sub(r"([(,] ?)(\*+)(?=\w)", r"\1\\\2", part) for part in parts[::2]]
            lines[number] = "``".join(parts)


MODULES = [
    "skdim",
    "skdim.augmentation",
    "skdim.coordinates",
    "skdim.critics",
    "skdim.displays",
    "skdim.encoders",
    "skdim.evaluation",
    "skdim._utils.files",
    "skdim.evaluation.effective_rank",
    "skdim.mutual_information",
    "skdim.onnx_export",
    "skdim.optimization",
    "skdim.priors",
    "skdim.sources",
]


def public_names(module_name: str) -> list[str]:
    """Return what a module offers: its ``__all__``, or the functions and classes it defines."""
    module = importlib.import_module(module_name)
    if hasattr(module, "__all__"):
        names = [name for name in module.__all__ if callable(getattr(module, name))]
    else:
        names = [
            name
            for name, value in vars(module).items()
            if (inspect.isfunction(value) or inspect.isclass(value))
            and value.__module__ == module_name
            and not name.startswith("_")
        ]
    return [f"{module_name}.{name}" for name in names]


def check_that_the_api_is_whole(app):
    """Warn of every public name that the page of the API leaves out."""
    listed = set(re.findall(r"^ +~?(skdim\.[\w.]+)$", (HERE / "api.md").read_text(), re.MULTILINE))
    for name in [name for module in MODULES for name in public_names(module)]:
        if name not in listed:
            logger.warning("docs/api.md does not list %s.", name)


class Registry(SphinxDirective):
    """``.. registry:: skdim.critics.CRITICS``: its names, what they stand for, in a table."""

    required_arguments = 1

    def run(self):
        """Build the table from the dict itself."""
        path, name = self.arguments[0].rsplit(".", 1)
        module = importlib.import_module(path)
        lines = [".. list-table::", "   :widths: 25 75", ""]
        for key, value in getattr(module, name).items():
            pieces = [piece for piece in as_tuple(value) if hasattr(piece, "__name__")]
            lines += [f"   * - ``{key!r}``", f"     - {describe(module, pieces)}"]
        return self.parse_text_to_nodes("\n".join(lines))


def as_tuple(value) -> tuple:
    """Return the pieces that a name stands for."""
    return value if isinstance(value, tuple) else (value,)


def describe(module, pieces) -> str:
    """Link the pieces that the module offers, with the first line of what the first one says."""
    links = [
        f"`~{module.__name__}.{p.__name__}`"
        if hasattr(module, p.__name__)
        else f"``{p.__module__.split('.')[0]}``'s ``{p.__name__}``"
        for p in pieces
    ]
    summary = inspect.getdoc(pieces[0]).split("\n\n")[0].replace("\n", " ")
    return ", ".join(links) + (f": {summary}" if pieces[0].__module__.startswith("skdim") else "")


# ------------------------------------------------------------------- gallery

mpl.use("Agg")
warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skdim",),
    "abort_on_example_error": False,
    "download_all_examples": False,
    "thumbnail_size": (480, 320),
    "show_memory": False,
    "plot_gallery": True,
    "write_computation_times": False,
    "copyfile_regex": "",
}

# ---------------------------------------------------------------------- HTML

html_theme = "pydata_sphinx_theme"
html_title = "skdim"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["skdim.css"]
html_logo = "_static/logo.svg"
html_favicon = "_static/favicon.svg"
html_show_sourcelink = False
html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "logo": {"text": "skdim", "alt_text": "skdim: to the start page"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"index": [], "changelog": [], "api": ["sidebar-nav-bs"]}


def inline_math(translator, node):
    """Write a formula in a line as MathML, which browsers draw without a script."""
    translator.body.append(f"<span class='math'>{tex2mathml(node.astext())}</span>")
    raise nodes.SkipNode


def block_math(translator, node):
    """Write a formula of its own as MathML."""
    formula = tex2mathml(node.astext(), as_block=True)
    translator.body.append(f"<div class='math'>{formula}</div>")
    raise nodes.SkipNode


def setup(app):
    """Connect what is above."""
    app.add_directive("registry", Registry)
    app.add_html_math_renderer("mathml", (inline_math, None), (block_math, None))
    app.connect("source-read", stay_on_the_site)
    app.connect("autodoc-process-docstring", escape_stars, priority=100)  # before numpydoc
    app.connect("builder-inited", check_that_the_api_is_whole)
    return {"parallel_read_safe": True}
