"""From an image to a verdict: the one path that tests, bundle, flows and registry all take."""
