"""Version of the package, which is also in its user agent."""

__version__ = "0.1.0"
