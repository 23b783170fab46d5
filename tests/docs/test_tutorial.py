"""The notebook runs from top to bottom, as a reader of it does, and is stored without outputs."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from tools.site_pages import markdown_of

from tests.docs.markdown import REPOSITORY, find_links
from tests.waiting import HANG_SECONDS

NOTEBOOK = REPOSITORY / "docs" / "tutorial.ipynb"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with notebook and example images, in which `crdnet` belongs to this Python."""
    (tmp_path / "docs").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "docs")
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return tmp_path


@pytest.mark.filterwarnings("default")  # those of Jupyter's own packages
def test_the_tutorial_runs(clone: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="the notebook needs nbclient")
    pytest.importorskip("ipykernel", reason="the notebook needs ipykernel")
    import nbformat  # noqa: PLC0415 - comes with nbclient

    notebook = nbformat.read(clone / "docs" / NOTEBOOK.name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=HANG_SECONDS, resources={"metadata": {"path": str(clone / "docs")}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "derained  PSNR" in printed
    assert "clean/medium.jpg  NONE" in printed
    assert sorted(path.name for path in (clone / "docs" / "output" / "clean").glob("*.jpg")) == [
        "heavy.jpg",
        "light.jpg",
        "medium.jpg",
    ]


def test_the_tutorial_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    run = [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")]
    assert run == []


def test_every_link_of_the_tutorial_leads_somewhere() -> None:
    targets = [target.partition("#")[0] for _, target in find_links(markdown_of(NOTEBOOK))]
    assert len(targets) >= 5
    assert [target for target in targets if not (NOTEBOOK.parent / target).exists()] == []
