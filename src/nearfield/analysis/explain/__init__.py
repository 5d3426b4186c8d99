"""`nearfield explain`: clusters, positions, confusions and figures of one space."""
