//! The CRI.

pub mod convert;
pub mod select;
pub mod v1;
