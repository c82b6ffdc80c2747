"""Timings against their floors and against spacelearn, apart from the tests."""
