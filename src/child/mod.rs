//! One process.
mod catalog;
pub use catalog::{Catalog, Resource, Tool};
