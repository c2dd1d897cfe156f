//! A string that never shows in a log, a message or a dump by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A private key, a token or a password. `Debug` prints `<secret>`, there is no `Display`, and [`Secret::reveal`]
/// is the only way to the content: search for it to see every use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(content: impl Into<String>) -> Self {
        Secret(content.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_it() {
        assert_eq!(format!("{:?}", Secret::new("abcdef")), "<secret>");
    }
}
