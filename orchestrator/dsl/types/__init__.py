"""Types: the annotations that flow along edges, what operators give of them, what kinds they are."""
