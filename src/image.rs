//! Container images: where they come from, how they are kept, how one becomes a root directory.
//!
//! ```text
//! registry ──► pull ────┐
//! archive  ──► import ──┼─► staging ─► unpack ─► tree        (hostile until its digest is known)
//! binaries ──► build ───┘      │
//!                              ▼ commit: one rename
//!                            store ─► rootfs ─► overlayfs at the container's root (or `copy`)
//! ```
//!
//! [`reference`], [`digest`], [`manifest`] and [`policy`] are the words, and pure. Everything that comes from outside goes through
//! [`staging`]; nothing else writes to the store's layers. Nothing here knows pods, sandboxes or processes.

pub mod archive;
pub mod binary;
pub mod copy;
pub mod digest;
pub mod manifest;
pub mod policy;
pub mod pull;
pub mod reference;
pub mod registry;
pub mod rootfs;
pub mod staging;
pub mod store;
pub mod tree;
pub mod unpack;

#[cfg(test)]
mod testing;
