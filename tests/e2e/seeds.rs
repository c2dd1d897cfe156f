//! What the documentation of static pods says, one test for each statement by its number (`s1` to `s50`), with its own
//! manifests. Those without a test say nothing that a program could do.

mod cluster;
mod containers;
mod control_plane;
mod lifecycle;
mod mirrors;
mod sources;
mod webapps;
