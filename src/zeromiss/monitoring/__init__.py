"""Whether the parts that come now still look like those that the model was chosen on, and what people say of its verdicts."""
