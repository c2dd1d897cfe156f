//! What is wrong with a text that is no YAML, or more than a configuration can be, in the user's words.

use serde_yaml::Error;
use serde_yaml::budget::BudgetBreach;

use super::node::{MAX_DEPTH, MAX_DOCUMENTS, MAX_NODES, MAX_TEXT};

/// Words of the library that are about its own affairs, by their beginning, and what they mean to a user.
const REWORDED: [(&str, &str); 5] = [
    ("cannot deserialize null into string", "a key is missing"),
    ("expected string scalar", "a key has to be a plain text"),
    ("recursive references", "an alias stands within the value that it stands for"),
    ("recursion limit exceeded", "values are nested too deep"),
    ("non-finite float", "a number has to be finite"),
];

/// The finding without its position.
pub(super) fn about(error: &Error) -> String {
    match error {
        Error::AliasError { error, .. } => about(error),
        Error::Budget { breach, .. } => excess(breach),
        _ => {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let known = REWORDED.iter().find(|(beginning, _)| message.starts_with(beginning));
            known.map_or(message, |(_, instead)| instead).to_owned()
        }
    }
}

fn excess(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Nodes { .. } => format!("more than {MAX_NODES} values, aliases expanded"),
        BudgetBreach::Depth { .. } => format!("values are nested deeper than {MAX_DEPTH} levels"),
        BudgetBreach::Documents { .. } => format!("more than {MAX_DOCUMENTS} documents"),
        BudgetBreach::ScalarBytes { .. } => format!("more than {MAX_TEXT} bytes of text, aliases expanded"),
        _ => "too many anchors or aliases".to_owned(),
    }
}
