"""Where the rooms come together: recipe -> parts -> loop -> folder, and the baselines beside it."""
