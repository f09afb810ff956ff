"""Evaluation: subjects in, the papers' tables, figures and one report page out."""
