"""Images: where they come from, how they are paired, and the ``LightningDataModule``."""
