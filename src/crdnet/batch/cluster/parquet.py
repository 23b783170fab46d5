"""Reading and writing of Parquet in memory, without threads.

Threads of Arrow that are at work when Python ends abort the process, after all work was done
(arrow#34314). The files are small, so nothing is gained by them.
"""

from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(content: bytes) -> pq.ParquetFile:
    """Open a file of Parquet; read it with `use_threads=False`."""
    # A buffer of Arrow and not a file of Python, whose reads would run in threads too.
    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)


def encode_parquet(table: pa.Table, *, row_group_size: int | None = None) -> bytes:
    """Return a table as a file of Parquet."""
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=row_group_size, compression="zstd")
    return buffer.getvalue()
