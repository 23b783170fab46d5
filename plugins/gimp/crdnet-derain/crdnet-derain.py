#!/usr/bin/env python3
"""GIMP 3 plug-in: removes the rain from the active layer, by the command `crdnet derain`.

The layer goes to the command as a PNG file and comes back as a new layer above it, so that opacity
sets how much of the rain is removed. Install: copy this folder into GIMP's folder of plug-ins.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROCEDURE = "plug-in-crdnet-derain"
TIMEOUT_SECONDS = 1800


class DerainError(Exception):
    """A message for the user."""


def find_command() -> str:
    """Return the path of `crdnet`: CRDNET_COMMAND, or what PATH or pip's usual folders hold.

    Raises:
        DerainError: There is none.
    """
    if asked := os.environ.get("CRDNET_COMMAND"):
        return asked
    folders = [os.environ.get("PATH", ""), str(Path.home() / ".local" / "bin")]
    if found := shutil.which("crdnet", path=os.pathsep.join(folders)):
        return found
    raise DerainError(
        "The command crdnet is not found. Install it with `pipx install crdnet`, or set the "
        "environment variable CRDNET_COMMAND to its path, and start GIMP again."
    )


def derain_file(source: Path, output: Path) -> str:
    """Derain an image file, dry or not; return what the command says of the rain.

    Raises:
        DerainError: The command is missing or fails.
    """
    command = [find_command(), "derain", str(source), "-o", str(output), "--always"]
    # GIMP's own Python and libraries are not those of the command.
    hidden = {"PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH", "GI_TYPELIB_PATH"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DerainError(f"{command[0]} cannot be run: {error}") from error
    lines = (done.stdout + done.stderr).strip().splitlines()
    last = lines[-1] if lines else "it said nothing"
    if done.returncode or not output.is_file():
        raise DerainError(f"crdnet could not remove the rain: {last}")
    return last


def define_plugin():  # type: ignore[no-untyped-def]  # GIMP's types exist only inside GIMP
    """Return the plug-in's class. GIMP's modules are imported here, since tests have no GIMP."""
    import gi  # noqa: PLC0415

    gi.require_version("Gimp", "3.0")
    from gi.repository import Gimp, Gio, GLib  # noqa: PLC0415

    class Derain(Gimp.PlugIn):  # type: ignore[misc]
        """The plug-in with its one procedure."""

        def do_query_procedures(self):  # type: ignore[no-untyped-def]
            return [PROCEDURE]

        def do_set_i18n(self, name):  # type: ignore[no-untyped-def]
            return False

        def do_create_procedure(self, name):  # type: ignore[no-untyped-def]
            procedure = Gimp.ImageProcedure.new(
                self, name, Gimp.PDBProcType.PLUGIN, run_procedure, None
            )
            procedure.set_image_types("RGB*, GRAY*")
            procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
            procedure.set_menu_label("_Derain (crdnet)…")
            procedure.add_menu_path("<Image>/Filters/Enhance")
            procedure.set_documentation(
                "Remove rain streaks from a photograph",
                "The result is a new layer above the active one.",
                name,
            )
            procedure.set_attribution("The crdnet authors", "Apache-2.0", "2026")
            return procedure

    def run_procedure(procedure, run_mode, image, drawables, config, data):  # type: ignore[no-untyped-def]  # GIMP's signature
        if len(drawables) != 1 or not isinstance(drawables[0], Gimp.Layer):
            error = GLib.Error("Select one layer to remove the rain from.")
            return procedure.new_return_values(Gimp.PDBStatusType.CALLING_ERROR, error)
        Gimp.progress_init("Removing the rain")
        image.undo_group_start()
        try:
            add_derained_layer(image, drawables[0])
        except DerainError as failure:
            error = GLib.Error(str(failure))
            return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)
        finally:
            image.undo_group_end()
        Gimp.displays_flush()
        return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)

    def add_derained_layer(image, layer):  # type: ignore[no-untyped-def]
        """Put the derained copy of a layer above it."""
        with tempfile.TemporaryDirectory(prefix="crdnet-") as folder:
            source, output = Path(folder) / "layer.png", Path(folder) / "derained.png"
            save_layer(layer, source)
            Gimp.progress_pulse()
            derain_file(source, output)
            loaded = Gimp.file_load_layer(
                Gimp.RunMode.NONINTERACTIVE, image, Gio.File.new_for_path(str(output))
            )
        loaded.set_name(f"{layer.get_name()} without rain")
        image.insert_layer(loaded, layer.get_parent(), image.get_item_position(layer))
        _, left, top = layer.get_offsets()
        loaded.set_offsets(left, top)

    def save_layer(layer, path):  # type: ignore[no-untyped-def]
        """Write a layer as a PNG file, at its own size, whatever the image's is."""
        copy = Gimp.Image.new(
            layer.get_width(), layer.get_height(), layer.get_image().get_base_type()
        )
        try:
            alone = Gimp.Layer.new_from_drawable(layer, copy)
            copy.insert_layer(alone, None, 0)
            alone.set_offsets(0, 0)
            Gimp.file_save(
                Gimp.RunMode.NONINTERACTIVE, copy, Gio.File.new_for_path(str(path)), None
            )
        finally:
            copy.delete()

    return Gimp, Derain


if __name__ == "__main__":
    gimp, plugin = define_plugin()
    gimp.main(plugin.__gtype__, sys.argv)
