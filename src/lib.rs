//! `bootstrap` turns a bare Linux machine into a Kubernetes control plane.
//!
//! ```text
//! argv, config file ─► config ─► desired ─┐                        ┌► Host     (performs)
//!                        ▲                ├─► plan ─► apply(plan) ─┼► WriteTree, Describe (dry run)
//!         host facts ────┴── found ───────┘                        └► a recorder (tests)
//!
//! manifests dir ─► source ─► pods ─► worker ◄─events─ runtime ─► shim ─► containers
//! ```
//!
//! Decisions are made in pure code, as values; effects are too dumb to need many tests. A module uses only those
//! listed below it here, `host` and `runner` do not use each other, and a test holds both rules.

pub mod cli;

pub mod audit;
pub mod config;
pub mod desired;
pub mod phase;
pub mod plan;
pub mod preflight;

pub mod api;
pub mod apply;
pub mod host;
pub mod image;
pub mod runner;

pub mod control;
pub mod error;
pub mod files;
pub mod layout;
pub mod linux;
pub mod release;
pub mod secret;
