"""`nearfield explain`: clusters, scores by position, confusions and figures of a run."""
