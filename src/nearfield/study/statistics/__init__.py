"""What may be said of the arms of a study, and how sure it is.

Two sorts of chance are at work: training (seeds) and the finite test set (its recordings or speakers). Every
training is judged on the same groups, so the two are crossed, as readers and cases are in studies of medical
images. `crossed` divides the variance, `family` corrects for looking at many pairs, `planning` says what more
seeds would bring, `verdicts` puts it in words. What it is worth: `benchmarks/calibration.py`, by simulation.
"""
