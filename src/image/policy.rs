//! PURE: when a registry is asked for an image.

use serde::{Deserialize, Serialize};

/// In Kubernetes' words [1.50, 9.1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Every time; what did not change is not fetched again. Fails when the registry does, even if there is a copy.
    Always,
    IfNotPresent,
    Never,
}
