"""`python -m groundtruth`."""

from groundtruth.cli import main

if __name__ == "__main__":
    main()
