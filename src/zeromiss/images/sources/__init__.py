"""Sources: one file a kind, each lists what a product's images are and what is known of them."""
