//! Pure numbers in, numbers out: divergences, ECDF distances, intervals, fairness and performance
//! from counts. No Arrow, no clock, no randomness; every formula names its source.
