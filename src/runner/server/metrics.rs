//! PURE: what is counted and measured, in Prometheus' text format [8.13].

mod family;
pub mod kubelet;
pub mod probes;
pub mod resource;
