"""Loaded by Dask's workers in tests before anything else: the suite's guard against connections off loopback holds there too."""

import socket

from tests.conftest import _loopback_only

socket.socket.connect = _loopback_only
