"""What a Hugging Face ``config.json`` says of a model's size and cache, over the many ways in which it is said.

``fields.py`` finds values under all their names; ``mixers.py`` and ``experts.py`` say what each layer is made of;
``quantization.py`` how wide its weights are; ``reading.py`` adds it all up. ``defaults.json`` holds what a config may
leave out, architecture by architecture; ``defaults.py`` makes it of the classes of ``transformers``.
"""
