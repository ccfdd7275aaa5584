"""One thin file per DVC stage: read files, call a room, write files."""
