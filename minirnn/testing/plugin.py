"""The pytest plugin: fixtures, an option and readable reports. Costs a foreign session nothing."""
