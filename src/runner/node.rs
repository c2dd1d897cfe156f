//! PURE: what a pod may know of the node it runs on, gathered once when the runner starts.

use std::net::IpAddr;

#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub host_name: String,
    pub ip: IpAddr,
    /// Bytes of memory.
    pub memory: i64,
    /// Thousandths of a CPU.
    pub cpu: i64,
}
