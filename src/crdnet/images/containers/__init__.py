"""Metadata of image files, copied as bytes.

There is one module for each container format. It splits a file into blocks to copy, metadata that
every format can hold (`Metadata`) and the names of data to leave out, and it adds metadata to newly
encoded pixels. Copying bytes keeps EXIF with its maker notes, XMP, colour profiles, captions and
comments of any length without interpreting them. Data that shows the old pixels (thumbnails) or
states offsets in the old file is left out and named.
"""
