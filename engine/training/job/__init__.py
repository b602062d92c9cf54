"""Job: what a training is asked to do, as data; the one part of training that needs no torch."""
