//! What the kernel offers beyond the standard library: processes, mounts, cgroups, pipes, sockets, terminals.
//!
//! Thin and without policy: which pod gets which limit or mount is decided elsewhere. The only `unsafe` of the
//! program is below here, each block with its reason. Nothing here depends on the rest of the crate but
//! [`crate::error`].

#![allow(unsafe_code)]

pub mod calls;
pub mod cgroup;
pub mod link;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netfilter;
pub mod pidfd;
pub mod pipe;
pub mod process;
pub mod rooted;
pub mod socket;
pub mod stream;
pub mod sysctl;
pub mod terminal;
pub mod tree;

pub use tree::{Leftover, give_tree, remove_tree};
