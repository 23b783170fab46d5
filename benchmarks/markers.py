"""Parts of documents that a benchmark writes."""

from pathlib import Path

from crdnet.errors import DataError
from crdnet.files import write_whole


def put_between_markers(path: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` in a document.

    Raises:
        DataError: It has none.
    """
    opening, closing = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    document = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = document.partition(opening)
    _, end, after = rest.partition(closing)
    if not (begin and end):
        raise DataError(
            f"{path} has no lines {opening} and {closing}; add them where the tables belong"
        )
    write_whole(path, f"{before}{begin}\n\n{text}\n{end}{after}".encode())
