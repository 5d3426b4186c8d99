"""Statistics of a study: estimates, corrected comparisons and verdicts.

Results vary for two reasons: training (seeds) and the finite test set (its recordings or speakers). Every
training is evaluated on the same test groups, so seeds and groups are crossed, as readers and cases are in
studies of medical images. `two_way` splits the variance, `family` corrects for multiple comparisons,
`planning` computes power and the number of seeds that would decide a comparison, and `conclude` gives the
verdicts. `benchmarks/calibration.py` checks the error rates by simulation.
"""
