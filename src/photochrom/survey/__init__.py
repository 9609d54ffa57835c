"""Surveys: people choose between pictures, and how often colorized photos fool them is measured."""
