"""An image against its own reference, a golden sample or a CAD rendering of that very part."""
