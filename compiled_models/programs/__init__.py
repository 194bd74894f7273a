"""The program library, one family per file; `groundtruth.compiled_models.library` looks them up."""
