"""`python -m leanbrain.optbench.swap RECIPE.yaml OPTIMIZER.yaml`."""

from leanbrain.optbench.swap.swapping import main

if __name__ == "__main__":
    main()
