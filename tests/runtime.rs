//! Real containers on this machine, each test under a root of its own.
//!
//! Needs root, a Linux kernel with overlayfs and control groups, and a static busybox.

mod case;
mod cni;
mod confinement;
mod cri;
mod image_volumes;
mod lifecycle;
mod limits;
mod logs;
mod network;
mod node;
mod oom;
mod output;
mod pods;
mod ports;
mod recovery;
mod streams;
mod variables;
mod volumes;
