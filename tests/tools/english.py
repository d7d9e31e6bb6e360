"""Habits of English that do not belong in code and pages: where they are, and what to say instead.

    python tests/tools/english.py            # every hit
    python tests/tools/english.py --count    # their number, by habit and by file
    python tests/tools/english.py README.md  # in some files only

Prose is what docstrings, comments and messages say, and the text of pages. Code in backticks or
fences is not prose. Names are those that Python code gives: variables, arguments and functions.
"""

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Habit(NamedTuple):
    """Something that is said, and what to say instead.

    Attributes
    ----------
    name : str
    pattern : str
        A regular expression; letters may be of either case.
    say : str
    unless_after : str
        A regular expression: text that ends with a match of it is no context for the habit.
    """

    name: str
    pattern: str
    say: str
    unless_after: str = ""


class Hit(NamedTuple):
    """A habit in a file."""

    path: str
    line: int
    habit: Habit
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text!r}: say {self.habit.say}"


COMPARED = (
    "longer|more|less|fewer|larger|smaller|better|worse|later|earlier|faster|slower|wider|higher|"
    "lower|shorter|greater|further|different"
)
NUMBER = r"(?:\d[\d,._]*|two|three|four|five|six|seven|eight|nine|ten|twenty|hundred)"
# What is measured and not counted, though its unit is in the plural.
MEASURED = "seconds|minutes|hours|days|bytes|percent|tenths|degrees|nats|times"
PLURAL = r"[a-z]*[a-rt-z]s"  # without address, loss and less
SENTENCE_START = r"(?:^|\n|(?<=[.!?:] ))"

# Before "where": what may be followed by a place.
PLACES = (
    r"\b(?:say|says|said|know|knows|known|show|shows|find|finds|from|to|is|are|lie|lies|stay|stays|"
    r"remain|remains|leave|leaves|place|places|position|positions|folder|folders|line|lines|point|"
    r"points|see|sees|names?|asks?|looks?|it|them|samples|imported) $|: $"
)

PROSE = (
    Habit(
        "is no",
        rf"\b(?:is|are|was|were|be) no (?!(?:{COMPARED})\b)[\w§]+",
        "is not a, are not",
        unless_after=r"\bthere (?:\w+ )?$",
    ),
    Habit(
        "before",
        r"(?:\b(?:them|it|array|arrays|X|file|files|data|values?|samples?|these|those)|,) "
        r"before[.;]",
        "first",
    ),
    Habit("beside", r"\bbeside\b", "next to, with, in addition to, given"),
    Habit(
        "where",
        r"\bwhere (?:there|it|they|that|this|these|those|nothing|none|no|one|a|an|the|every|each|"
        r"any|some|all|not|\w+ed)\b",
        "if, when",
        unless_after=PLACES,
    ),
    Habit("Return what", r"\breturns? what\b", "the name of the thing"),
    Habit(
        "Of ...,",
        rf"{SENTENCE_START}(?-i:Of) (?!course\b|these\b|them\b|which\b)[^.;:!?\n()]{{1,60}}[,:] ",
        "the subject first",
    ),
    Habit("Those of", rf"{SENTENCE_START}(?-i:Those) of\b", "the subject first"),
    Habit(
        "from N on",
        rf"\bfrom (?:(?:number|epoch|version|step|side|python) )?{NUMBER}(?: \w+){{0,2}} on\b"
        r"(?! (?:a|the|your|this|each|every|one|disk)\b)|"
        r"\bfrom (?:one|a) (?:point|moment)(?: in time)? on\b|\bfrom which(?: \w+)? on\b",
        "at least N, N and above",
    ),
    Habit(
        "tells from",
        r"\b(?:tells?|telling)(?: [\w-]+){1,4} from\b|\btold (?:[\w-]+ ){0,2}(?:from|apart)\b|"
        r"\b(?:tells?|telling)(?: [\w-]+){0,3} apart\b|\btaken for\b|"
        r"\btakes? (?:it|them|this|these|X) for\b",
        "distinguishes, is treated as",
    ),
    Habit(
        "less of what is counted",
        rf"\bless (?!than\b|it\b)(?!{MEASURED}\b){PLURAL}\b|"
        rf"\bless than {NUMBER} (?!(?:{MEASURED})\b)(?:[a-z]+ )?(?!(?:{MEASURED})\b){PLURAL}\b",
        "fewer",
    ),
)

# Words that skdim once made up, and those of the field.
WORDS = tuple(
    Habit(pattern, pattern, say)
    for pattern, say in {
        r"\bstrangers?\b": "negatives",
        r"\bcompan(?:y|ies)\b": "evaluation batch",
        r"\bblocks? of codes\b": "chunks: chunked scoring",
        r"\brecipes?\b": "configuration, ModelConfig",
        r"\bingredients?\b": "parameters",
        r"\bplacement\b": "data loaders: in device memory, streaming",
        r"\brecord(?:ed|ing) steps?\b": "CUDA graph: capture, replay",
        r"(?<!np\.)(?<!image\.)\btil(?:e|es|ed)\b": "padded batches",
        r"\bdrafts?\b": "temporary file; candidate",
        r"\bpieces?\b": "custom objects",
        r"\bjudg(?:e|es|ed|ing)\b|\bpairings?\b": "scoring critics, critic inputs",
        r"\bgames?\b": "adversarial loss",
        r"\blearners?\b": "parameters",
        r"\bdescend(?:s|ed)?\b": "minimise; backward and step",
        r"\bslopes?\b": "gradient",
        r"\bmosaics?\b": "crop grid",
        r"\blocals\b": "local features",
        r"\bpasses\b": "epochs",
        r"\b(?:all|everything) you have\b": "unlabelled data",
        r"\bmirror\w*": "flip, test-time flip averaging",
        r"\bsuit of cards\b|\bin any company\b|\ba word that is none\b|\bserves most\b|"
        r"\bwho trains\b": "plain English",
    }.items()
)

NAMES = (
    Habit("of_", r"of_\w+", "grad_scores, or the noun first"),
    Habit(
        "no name of the thing",
        r"given|found|here|kept|whole|stored",
        "the name of the thing",
    ),
    Habit("read_ for a check", r"read_\w+", "check_, as_, to_; read_ only if something is read"),
)


# ------------------------------------------------------------ prose


class Text(NamedTuple):
    """Prose on one line, and the line of the file that each character is from."""

    content: str
    lines: list[int]


def flow(parts: Iterable[tuple[int, str]]) -> Text:
    """Join lines of prose to sentences: a line goes on, unless the next one begins something new.

    Parameters
    ----------
    parts : iterable of (number, line)
    """
    content, lines, indent = "", [], None
    for number, line in parts:
        words = without_code(line.strip())
        own_indent = len(line) - len(line.lstrip())
        begins = re.match(r"[-*|#>+]|\d+\. |\w+(?:, \w+)* : ", words) is not None
        joint = " " if words and own_indent == indent and not begins else "\n"
        content += joint + words
        lines += [number] * (len(joint) + len(words))
        indent = own_indent if words else None
    return Text(content, lines)


def without_code(line: str) -> str:
    """Replace code in backticks, and the targets of links, by as many characters."""
    if line.startswith((">>> ", "... ", ".. ")):
        return ""
    line = re.sub(r"(``?)(.+?)\1", lambda match: "§" * len(match[0]), line)
    return re.sub(r"\]\([^)]*\)", lambda match: "§" * len(match[0]), line)


def prose_of_page(source: str) -> Iterator[Text]:
    """The text of a page in Markdown, without fenced code."""
    is_code, parts = False, []
    for number, line in enumerate(source.splitlines(), start=1):
        if line.lstrip().startswith(("```", "~~~")):
            is_code = not is_code
            parts.append((number, ""))
        elif not is_code:
            parts.append((number, line))
    yield flow(parts)


def prose_of_code(source: str) -> Iterator[Text]:
    """Docstrings, comments and messages of Python code."""
    tree, lines = ast.parse(source), source.splitlines()
    others = set()  # constants that are part of a docstring or of another string
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            others |= set(ast.walk(docstring))
            numbers = range(docstring.lineno, docstring.end_lineno + 1)
            yield flow((number, re.sub(r'r?"""', "", lines[number - 1])) for number in numbers)
        elif isinstance(node, ast.JoinedStr) and node not in others:
            others |= set(ast.walk(node))
            parts = (v.value if isinstance(v, ast.Constant) else "§" for v in node.values)
            yield from _message(node, "".join(parts))
        elif isinstance(node, ast.Constant) and node not in others:
            yield from _message(node, node.value)
    yield from _comments(source)


def _message(node: ast.expr, value: object) -> Iterator[Text]:
    """A string of several words; it is where its first line is."""
    if isinstance(value, str) and len(value.split()) > 2:
        content = without_code(" ".join(value.split()))
        yield Text(content, [node.lineno] * len(content))


def _comments(source: str) -> Iterator[Text]:
    """Comments; those of neighbouring lines are one."""
    block: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or token.string.startswith("# -----"):
            continue
        number, column = token.start
        if block and block[-1][0] != number - 1:
            yield flow(block)
            block = []
        block.append((number, " " * column + token.string.lstrip("#:! ")))
    yield flow(block)


# ------------------------------------------------------------ names


def names_in_code(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the name and the first words of what is known of each name that is given."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id, ""
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg, ""
        elif isinstance(node, ast.FunctionDef):
            yield node.lineno, node.name, ast.get_docstring(node) or ""


def hits_of_names(path: str, source: str) -> Iterator[Hit]:
    """Find names that do not name their thing."""
    for line, name, description in names_in_code(source):
        for habit in NAMES:
            is_reading = description.startswith("Read")
            if re.fullmatch(habit.pattern, name) and not (name.startswith("read_") and is_reading):
                yield Hit(path, line, habit, name)


# ------------------------------------------------------------ files


def hits_of_prose(path: str, source: str, habits: Iterable[Habit] = PROSE) -> Iterator[Hit]:
    """Find habits in the prose of a file."""
    texts = prose_of_page(source) if path.endswith(".md") else prose_of_code(source)
    for text in texts:
        for habit in habits:
            for match in re.finditer(habit.pattern, text.content, re.IGNORECASE):
                before = text.content[: match.start()]
                if habit.unless_after and re.search(habit.unless_after, before, re.IGNORECASE):
                    continue
                start = match.start() + len(match[0]) - len(match[0].lstrip())
                yield Hit(path, text.lines[start], habit, match[0].strip())


def hits_in(path: Path) -> list[Hit]:
    """All habits in a file, by line."""
    source = path.read_text(encoding="utf-8")
    name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
    hits = list(hits_of_prose(name, source))
    if path.suffix == ".py":
        hits += hits_of_names(name, source)
    return sorted(hits, key=lambda hit: hit.line)


def files() -> list[Path]:
    """The package, the benchmarks and the pages; the log of changes speaks of what was."""
    code = [path for folder in ("skdim", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    return sorted(path for path in (*code, *pages) if path.name != "changelog.md")


def main() -> None:
    """Print hits, or their number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path)
    parser.add_argument("--count", action="store_true")
    arguments = parser.parse_args()
    paths = [path.resolve() for path in arguments.paths] or files()
    hits = [hit for path in paths for hit in hits_in(path)]
    if arguments.count:
        for what in (lambda hit: hit.habit.name, lambda hit: hit.path):
            for name, number in Counter(map(what, hits)).most_common():
                print(f"{number:5}  {name}")
            print()
    else:
        print(*hits, sep="\n")
    print(f"{len(hits)} in {len(paths)} files")
    sys.exit(bool(hits))


if __name__ == "__main__":
    main()
