"""The long proofs of fastloss.privacy, and the parts that the quick tests take from them.

``PYTHONPATH=tests python -m proofs`` runs all at their full length and writes ``RESULTS.md`` beside this file;
``python -m proofs noise`` a section of it. Each proof is a function of its length that returns figures and judges
nothing; the tests judge, quickly or with ``pytest -m slow``.
"""
