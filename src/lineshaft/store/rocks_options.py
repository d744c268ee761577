"""The options of RocksDB; explained, and measured, in docs/decisions/0001-rocksdb-through-rocksdict.md."""

from typing import Final

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    DBRecoveryMode,
    Options,
    WriteBufferManager,
    WriteOptions,
)

__all__ = ["DEFAULT_MEMORY_BYTES", "rocks_options", "rocks_write_options"]

_MIB: Final = 1 << 20

#: Memtables and cached blocks together: what a small machine can spare, and enough for the hot path.
DEFAULT_MEMORY_BYTES: Final = 64 * _MIB


def rocks_options(memory_bytes: int = DEFAULT_MEMORY_BYTES) -> Options:
    """How the database and each of its families is opened; the reason for each choice is given beside it."""
    memory_bytes = max(memory_bytes, 8 * _MIB)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    # A torn last record is what a crash leaves; anything else that does not add up refuses the open. The
    # default mode would drop every row behind the damage without a word.
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    _bound_memory(options, memory_bytes)
    _shape_tables(options)
    # All families are written out together. So what the tables hold is of one moment even when the log is lost or cut
    # off, and no family of which little is written keeps the log of the other.
    options.set_atomic_flush(True)
    # One flush and one compaction beside the event loop.
    options.set_max_background_jobs(2)
    # Deleting files belongs to the background, not to the thread that drops the last reference.
    options.set_avoid_unnecessary_blocking_io(True)
    # The information log and the manifest grow for ever by default.
    options.set_keep_log_file_num(4)
    options.set_max_log_file_size(4 * _MIB)
    options.set_max_manifest_file_size(16 * _MIB)
    options.set_stats_dump_period_sec(0)
    options.set_stats_persist_period_sec(0)
    return options


def rocks_write_options() -> WriteOptions:
    """How a batch is written: a stall is an error at once, never a sleep of the thread that serves everyone."""
    options = WriteOptions()
    options.no_slowdown = True
    return options


def _bound_memory(options: Options, memory_bytes: int) -> None:
    """One cache for everything: blocks, indexes, filters, and a charge for the memtables."""
    cache = Cache(memory_bytes)
    options.set_write_buffer_manager(
        WriteBufferManager.new_write_buffer_manager_with_cache(memory_bytes // 2, False, cache)
    )
    # Small memtables stay near the processor; four of each family, so that a burst does not stall on one flush.
    options.set_write_buffer_size(min(memory_bytes // 8, 16 * _MIB))
    options.set_max_write_buffer_number(4)
    # Leaves most of the usual 1,024 descriptors to connections; 512 tables hold 32 GiB.
    options.set_max_open_files(512)
    tables = BlockBasedOptions()
    tables.set_block_cache(cache)
    tables.set_cache_index_and_filter_blocks(True)
    tables.set_pin_l0_filter_and_index_blocks_in_cache(True)
    # Scans read in order and JSON compresses well, so larger blocks (4 KiB is usual) halve the index twice.
    tables.set_block_size(16 << 10)
    tables.set_bloom_filter(10, False)
    # In parts of a block's size, of which a look-up reads one. The cache is divided into many small ones, 1 MiB each at
    # 64 MiB, and keeps nothing that is larger: the whole filter of a table with a million keys would be read from disk
    # at every look-up, which takes a millisecond instead of ten microseconds.
    tables.set_index_type(BlockBasedIndexType.two_level_index_search())
    tables.set_partition_filters(True)
    tables.set_metadata_block_size(4 << 10)
    tables.set_pin_top_level_index_and_filter(True)
    options.set_block_based_table_factory(tables)


def _shape_tables(options: Options) -> None:
    """Levels, compression and clean-up for rows that are written once and soon deleted."""
    options.set_compression_type(DBCompressionType.lz4())
    options.set_level_compaction_dynamic_level_bytes(True)
    options.set_compaction_readahead_size(2 * _MIB)
    # Small memtables make many small level-0 files. At the usual 20 a burst of pushes would be held up for most of a
    # second; at 64 a scan opens more files for a while, and nobody waits.
    options.set_level_zero_slowdown_writes_trigger(64)
    options.set_level_zero_stop_writes_trigger(96)
    # Tables go to disk as they are written, not in one burst that an fsync of the log would queue behind.
    # The log itself is not paced so: that would be paid inside commit, and the group's fsync does it anyway.
    options.set_bytes_per_sync(_MIB)
    # A finished job is two or three tombstones; a table with a run of them is compacted before its turn, or
    # every scan that crosses the place pays for them.
    options.add_compact_on_deletion_collector_factory(4096, 2048, 0.5)
