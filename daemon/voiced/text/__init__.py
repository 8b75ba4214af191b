"""Texts: documents to characters, languages, the segment plan. Runs in the scribe."""
