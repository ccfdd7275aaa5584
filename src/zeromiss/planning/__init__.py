"""What a product will cost before it is trained: memory, operations, hours."""
