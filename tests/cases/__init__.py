"""Test networks and inputs as data, shared by the tests, the agreement runs and the benchmarks."""
