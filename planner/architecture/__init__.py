"""What a Hugging Face ``config.json`` says of a model's size and cache, over the many ways in which it is said.

``fields.py`` finds values under all their names; ``mixers.py``, ``recurrence.py`` and ``experts.py`` say what each
layer is made of, ``attention.py`` what it caches; ``quantization.py`` how wide its weights are; ``reading.py`` adds it
all up, and ``naming.py`` makes something of a name. ``defaults.json`` holds what a config may leave out, architecture
by architecture; ``defaults.py`` makes it of the classes of ``transformers``.
"""
