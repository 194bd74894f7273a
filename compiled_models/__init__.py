"""Transformers compiled from RASP-style programs, with their circuits. Nothing is here yet."""
