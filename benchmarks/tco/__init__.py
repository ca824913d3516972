"""The heterogeneous-TCO study of arXiv 2507.19635: which device should prefill, which should decode, at what price."""
