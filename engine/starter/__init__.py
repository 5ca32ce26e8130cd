"""The recipe of the starter model: grammar, corpus, tokenizer and training, and the weights that it made."""
