"""BT-UNet in napari. Nothing heavy is imported here: napari must start fast."""
