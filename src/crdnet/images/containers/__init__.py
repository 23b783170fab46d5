"""What lies around the pixels in picture files, carried as the bytes it was.

One module for each kind of container. Each takes apart a file of its kind into what is to be copied, what every
format can hold (`Metadata`) and the names of what must stay behind, and puts such things around new pixels. Copying
bytes keeps EXIF with its maker notes, XMP, colour profiles, captions and comments, whatever their length, and needs
no understanding of them. What shows the old pixels (thumbnails) or describes the old file's offsets is left behind,
and named.
"""
