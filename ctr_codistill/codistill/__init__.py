"""The idea of the papers: who teaches whom, when and how much."""
