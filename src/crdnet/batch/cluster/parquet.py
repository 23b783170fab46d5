"""Reading and writing of Parquet in memory, without threads.

Arrow threads that run when Python exits abort the process (arrow#34314). The files are small, so
threads would save no time.
"""

from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(content: bytes) -> pq.ParquetFile:
    """Open a Parquet file; read it with `use_threads=False`."""
    # An Arrow buffer, because Arrow reads a Python file object in threads.
    return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)


def encode_parquet(table: pa.Table, *, row_group_size: int | None = None) -> bytes:
    """Return a table as the content of a Parquet file."""
    buffer = BytesIO()
    pq.write_table(table, buffer, row_group_size=row_group_size, compression="zstd")
    return buffer.getvalue()
