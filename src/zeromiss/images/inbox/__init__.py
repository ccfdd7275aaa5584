"""The inbox that a camera fills: what is complete joins the raw images, what is not goes to quarantine or waits."""
