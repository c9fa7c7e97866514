"""Where pictures come from: one settings class and one source per file; nothing here imports torch."""
