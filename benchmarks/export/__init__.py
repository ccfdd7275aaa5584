"""How far an exported model lies from the one with torch, on a real product."""
