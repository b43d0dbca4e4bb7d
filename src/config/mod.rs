//! Files, flags and environment.
