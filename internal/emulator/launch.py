"""Starts bqemulator for tests and demos; arguments as for `bqemulator`.

Two of its habits are changed: at the start it downloads a DuckDB extension
for GEOGRAPHY, which tests must not do, and at each write it copies the whole
table for FOR SYSTEM_TIME AS OF, which makes loads slow. We use neither.
"""

import os
import signal
import sys
import threading

from bqemulator import cli
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning import snapshots


def stop_with_parent():
    """Standard input is a pipe that the starter holds: it ends when the starter does, however that dies."""
    while sys.stdin.buffer.read(4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Timer(5, os._exit, (1,)).start()


def record_change(self, project, dataset, table):
    self._events.publish(snapshots.TableDataChanged(project, dataset, table))


DuckDBEngine._load_spatial = lambda self: None
snapshots.SnapshotManager.record_change = record_change
threading.Thread(target=stop_with_parent, daemon=True).start()
sys.exit(cli.main())
