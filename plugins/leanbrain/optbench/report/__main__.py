"""`python -m leanbrain.optbench.report ROOT`."""

from leanbrain.optbench.report.writing import main

if __name__ == "__main__":
    main()
