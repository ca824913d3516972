"""Natural-language questions over a SQLite database, answered by a small bundled model or any HF model."""
