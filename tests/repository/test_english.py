"""The words of the field, and none of those that skdim once made up for them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("skdim", "docs", "tests", "benchmarks")
KINDS = {".py", ".md", ".rst", ".json", ".css", ".toml"}
BUILT = {"_build", "auto_examples", "generated", "__pycache__", "gen_modules"}

# The word that was made up, and what the field says.
SAY = {
    r"\bstrangers?\b|n_strangers|_strangers": "negatives",
    r"\bcompan(y|ies)\b": "evaluation batch",
    r"blocks? of codes|BLOCK_SIZE|block_size|one_block": "chunks: chunked scoring",
    r"\brecipes?\b": "ModelConfig",
    r"\bingredients?\b|_ingredients": "names of the parameters of a ModelConfig",
    r"\bdecide\(": "resolve",
    r"\branks\b|n_ranks|(?-i:\bALONE\b)": "processes, world_size, SINGLE_PROCESS",
    r"\badd_up\w*|\bshare_out\b|\.collect\(|\bspread\(": "all_reduce, shard, all_gather, broadcast",
    r"\bplacement\b|OnDevice|(?-i:Streamed)": "data loaders: in device memory, streaming",
    r"\brecord(ed|ing) steps?\b|RecordedStep|\brecorder\b": "CUDA graph: capture, replay",
    r"(?<!np\.)\btiles?\b|\btile_size\b|\btiled\b": "padded batches",
    r"(?<!in )\bplaces?\b|n_places|\bplaced\b": "position; checkpoint",
    r"\bdrafts?\b": "temporary file; candidate",
    r"\bpieces?\b": "custom objects",
    r"\bjudg(e|es|ed|ing)\b|\bpairings?\b": "scoring critics, critic inputs",
    r"\bgames?\b": "adversarial loss",
    r"\blearners?\b": "parameters",
    r"\bdescend(s|ed)?\b|\bdescending\b(?!=)": "minimise; backward and step",
    r"\bslopes?\b": "grad_output; gradient",
    r"\brow_wise\b|\brow_form\w*": "chunkable",
    r"\bwants_to_adapt\b|\basks_to_stop\b": "has_adapt, stop_requested",
    r"\bmosaics?\b": "crop grid",
    r"(?<!<)\blocals\b": "local features",
    r"\bpasses\b": "epochs",
    r"all you have|everything you have": "unlabelled data",
    r"\bmirror\w*": "flip, test-time flip averaging",
    r"average_last": "weight_averaging",
    r"suit of cards|in any company|a word that is none|serves most|Who trains": "plain English",
}


def files() -> list[Path]:
    """Every page and module, but this one."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))
    return [
        path
        for path in found
        if path.suffix in KINDS and not BUILT & set(path.parts) and path != Path(__file__)
    ]


@pytest.mark.parametrize("word", SAY)
def test_the_fields_word_is_used(word):
    assert files()
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(word, line, re.IGNORECASE)
    ]
    assert not hits, f"say {SAY[word]!r}:\n" + "\n".join(hits)
