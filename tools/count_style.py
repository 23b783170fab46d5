"""Count the figures of STYLE for the package: verbs, comments, long lines, lines of the CLI.

    python tools/count_style.py [--list]

Functions: a function or method counts as a verb if the first word of its name, without leading
underscores, is in `VERBS`. Some names are not counted, because other rules determine them:

- properties, and names given by Python or a library: dunder methods, `main`, `forward`, `setup`,
  `step`, hooks `on_...`, `training_step`, `train_dataloader`, the callbacks of asyncio;
- formulas that are called as in the literature: `psnr`, `ssim`, `luma`, `charbonnier`, `..._loss`;
- predicates (`is_`, `has_`, `can_`, `keeps_` and other third persons, which read well after `if`);
- the idioms of NumPy and Python for conversion (`as_`, `to_`, `from_`).

Comments: the share of lines with a comment, except comments that only silence a tool or mark a
region for the formatter. A comment above or behind code counts once per line.

`--list` prints the names that are not verbs.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "src/crdnet"
LONGEST_LINE = 100
VERBS = frozenset(
    re.findall(
        r"\w+",
        """
    abandon abort accept adapt add admit advance allow amplify answer append apply ask assign
    augment average await begin blank blur borrow bound build call cancel cap change charge check
    choose clamp classify clean clear clip close coarsen collate collect combine compare compile
    compose compress compute configure connect convert convolve copy correlate count create crop
    cut darken decide decode decompress defocus delete deliver derain derive describe detect digest
    disable discard divide do download downsample drain draw drop dump edit embed enable encode
    enlarge enter escape estimate evaluate examine exit expand expire explain export extract fail
    fetch fill filter find finish fit flatten flush fold follow forget format fuse gather get give
    go grade grant group guard guess guide halt halve handle hash hold identify ignore import index
    infer inflate insert inspect install instantiate interpolate interrupt invert iterate join
    judge keep kill leave let lift limit linger link list listen load locate lock log look make map
    mark match measure merge mirror mix modulate move name normalise note notice number observe
    offer open order pack pad paint parse pause pick place plan play plot poll prefer prefix
    prepare print probe profile project prove publish pull push put queue quote raise rank read
    rebuild receive recognise record reduce refine reflect refuse register rehearse reject release
    reload remember remove rename render repeat replace report request require resample reset
    reserve resize resolve respond restore resume retry return rotate round run sample save scale
    score search seek select send sense serve set settle shade share shift shorten show shrink shut
    shutdown simplify simulate sketch skip smooth sort split spread squeeze start stop store stream
    strip submit subtract suggest sum summarise swap sync take tell test throttle tile time track
    train transfer translate transpose trim try turn undo unfold unpack update upload use validate
    verify view vote wait wake walk warn warp watch weigh widen work wrap write yield
    """,
    )
)
PREDICATES = frozenset(
    re.findall(
        r"\w+",
        "are begins can copies corrects covers fits has holds is keeps leaves means meets needs "
        "reaches says senses should takes tells was works",
    )
)
CONVERSIONS = frozenset(("as", "from", "to"))
_GIVEN = re.compile(
    r"__\w+__|main|forward|setup|step|on_\w+|before_\w+|(training|validation)_step"
    r"|(train|val)_dataloader|(load_)?state_dict|handle_\w+"
    r"|(connection|data|eof)_(made|received|lost)"
)
_FORMULA = re.compile(r"psnr|ssim|luma|charbonnier|\w+_loss")
_TOOL = re.compile(r"#\s*(noqa|type:|fmt:|pragma|ruff:|mypy:)")


def list_functions(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the functions and methods that are counted."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
            word = get_first_word(node.name)
            if (
                not re.search(r"property|setter|overload", decorators)
                and not _GIVEN.fullmatch(node.name)
                and not _FORMULA.fullmatch(node.name)
                and word not in PREDICATES | CONVERSIONS
            ):
                yield node.name


def get_first_word(name: str) -> str:
    """Return the first word of a function's name."""
    return name.lstrip("_").split("_")[0]


def count_comment_lines(source: str) -> int:
    """Count the lines that hold a comment for a reader."""
    return sum(
        token.type == tokenize.COMMENT and not _TOOL.match(token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
    )


def main() -> int:
    """Print the counts, and with `--list` the names that are not verbs."""
    lines = comments = long = command_line = 0
    functions, others = 0, list[str]()
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        rows = source.splitlines()
        lines += len(rows)
        comments += count_comment_lines(source)
        long += sum(len(row) > LONGEST_LINE for row in rows)
        place = path.relative_to(PACKAGE)
        command_line += len(rows) * (place.parts[0] == "cli")
        for name in list_functions(ast.parse(source)):
            functions += 1
            if get_first_word(name) not in VERBS:
                others.append(f"{place}: {name}")
    print(f"functions that are verbs   {1 - len(others) / functions:.1%} of {functions}")
    print(f"comment lines              {comments / lines:.1%} of {lines}")
    print(f"lines over {LONGEST_LINE} columns    {long}")
    print(f"lines of cli               {command_line}")
    if "--list" in sys.argv[1:]:
        print("\n".join(others))
    return 0


if __name__ == "__main__":
    sys.exit(main())
