//! Registries: which hosts have a repository, who we are to them, and the few requests that a pull needs.
//!
//! `settings` decides where to ask (mirrors, then the registry itself), `credentials` finds the user's, and
//! `connection` speaks the distribution API. [`super::pull`] makes images of what they fetch.

pub mod challenge;
pub mod connection;
pub mod credentials;
pub mod settings;
pub mod source;
pub mod trust;
