//! What has happened to a pod, a container or the node, as `bootstrap events` shows it and the API gets it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Something that has happened, once or several times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Of this happening; a newer one has a greater number, and so has one that happens again.
    pub revision: u64,
    pub object: Involved,
    pub level: EventLevel,
    /// The kubelet's word: `Pulled`, `BackOff`, `Unhealthy`, …
    pub reason: String,
    pub message: String,
    /// How often.
    pub count: u32,
    pub first: Timestamp,
    pub last: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventLevel {
    Normal,
    Warning,
}

impl EventLevel {
    /// As the API's field `type`.
    pub fn name(self) -> &'static str {
        match self {
            EventLevel::Normal => "Normal",
            EventLevel::Warning => "Warning",
        }
    }
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Involved {
    /// `Pod` or `Node`.
    pub kind: String,
    /// Empty for the node.
    #[serde(default)]
    pub namespace: String,
    pub name: String,
    /// The static pod's; for the node its name [3.61, 7.79].
    pub uid: String,
    /// `spec.containers{etcd}`, where it is about a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_path: Option<String>,
}
