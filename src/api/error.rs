//! What can go wrong between us and the API server, by what to do about it.

use std::error::Error as StdError;
use std::time::Duration;

use kube::core::Status;
use kube::core::response::StatusDetails;

/// More of a server's words than this says nothing more.
const LONGEST: usize = 400;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No connection, or a connection that broke.
    #[error("`{server}` cannot be reached: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("`{server}` gave no answer within {} s", patience.as_secs())]
    Silent { server: String, patience: Duration },
    /// An answer that no API server gives.
    #[error("`{server}` does not answer as an API server does: {reason}")]
    Nonsense { server: String, reason: String },
    #[error("`{server}` does not accept the credentials: {message}")]
    Unauthorized { server: String, message: String },
    #[error("{message}")]
    Forbidden { message: String },
    #[error("{message}")]
    NotFound { message: String },
    #[error("{message}")]
    AlreadyExists { message: String },
    /// Somebody else owns fields that an apply would change, or was faster.
    #[error("{message}")]
    Conflict { message: String, fields: Vec<FieldConflict> },
    /// The request is wrong, and will be the next time.
    #[error("{message}")]
    Invalid { message: String },
    /// The server has trouble of its own.
    #[error("`{server}` failed with code {code}: {message}")]
    Failed { server: String, code: u16, message: String },
}

/// A field that somebody else has set to another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Field manager, such as `kubectl-edit`.
    pub manager: String,
    /// Path, such as `.data.Corefile`.
    pub field: String,
}

impl ApiError {
    pub(super) fn new(server: &str, error: kube::Error) -> ApiError {
        let server = server.to_owned();
        match error {
            kube::Error::Api(status) => ApiError::of_status(server, *status),
            kube::Error::SerdeError(_) => {
                ApiError::Nonsense { server, reason: "it is not what was asked for".to_owned() }
            }
            kube::Error::FromUtf8(_) => ApiError::Nonsense { server, reason: "it is no text".to_owned() },
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
                ApiError::Invalid { message: innermost(&error) }
            }
            kube::Error::Auth(_) => ApiError::Unauthorized { server, message: innermost(&error) },
            error => ApiError::Unreachable { server, reason: reason(&error) },
        }
    }

    fn of_status(server: String, status: Status) -> ApiError {
        let message = match status.message.trim() {
            "" => format!("code {}", status.code),
            message => shortened(message),
        };
        match status.code {
            401 => ApiError::Unauthorized { server, message },
            403 => ApiError::Forbidden { message },
            404 => ApiError::NotFound { message },
            409 if status.reason == "AlreadyExists" => ApiError::AlreadyExists { message },
            409 => ApiError::Conflict { message, fields: status.details.iter().flat_map(conflicts).collect() },
            400 | 405 | 406 | 413 | 415 | 422 => ApiError::Invalid { message },
            code => ApiError::Failed { server, code, message },
        }
    }

    /// Another try would get the same answer. Right after its start an API server forbids what it will allow and does
    /// not find what it will make, so these are not final.
    pub fn is_final(&self) -> bool {
        matches!(self, ApiError::Invalid { .. } | ApiError::AlreadyExists { .. })
            || matches!(self, ApiError::Conflict { fields, .. } if !fields.is_empty())
    }

    /// Nobody who could answer was found.
    pub fn is_about_connection(&self) -> bool {
        matches!(self, ApiError::Unreachable { .. } | ApiError::Silent { .. } | ApiError::Nonsense { .. })
    }
}

fn conflicts(details: &StatusDetails) -> impl Iterator<Item = FieldConflict> {
    let causes = details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    causes.map(|cause| FieldConflict {
        // conflict with "kubectl-edit" using v1
        manager: cause.message.split('"').nth(1).unwrap_or("somebody else").to_owned(),
        field: cause.field.clone(),
    })
}

/// One line, and not a page of HTML.
fn shortened(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn reason(error: &kube::Error) -> String {
    match innermost(error) {
        // of the connection's own limits
        elapsed if elapsed == "deadline has elapsed" => "it takes no connection in time".to_owned(),
        told => told,
    }
}

/// The words of the first cause, which say what happened; those above only say where.
pub(super) fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(code: u16, reason: &str, message: &str) -> ApiError {
        let status = Status::failure(message, reason).with_code(code);
        ApiError::new("https://a:6443", kube::Error::Api(status.boxed()))
    }

    #[test]
    fn only_what_cannot_change_is_final() {
        for (code, reason, is_final) in [
            (400, "BadRequest", true),
            (422, "Invalid", true),
            (409, "AlreadyExists", true),
            (409, "Conflict", false),
            (401, "Unauthorized", false),
            (403, "Forbidden", false),
            (404, "NotFound", false),
            (429, "TooManyRequests", false),
            (500, "InternalError", false),
            (503, "", false),
        ] {
            assert_eq!(of(code, reason, "no").is_final(), is_final, "{code} {reason}");
        }
    }

    #[test]
    fn a_conflict_names_fields_and_managers() {
        let status = r#"{"code":409,"reason":"Conflict","message":"Apply failed with 2 conflicts","details":{"causes":[
            {"reason":"FieldManagerConflict","message":"conflict with \"kubectl-edit\" using v1","field":".data.a"},
            {"reason":"FieldManagerConflict","message":"odd","field":".data.b"},
            {"reason":"Other","message":"","field":""}]}}"#;
        let status: Status = serde_json::from_str(status).unwrap();
        let ApiError::Conflict { fields, .. } = ApiError::of_status(String::new(), status) else { unreachable!() };
        let names: Vec<_> = fields.iter().map(|conflict| (&*conflict.manager, &*conflict.field)).collect();
        assert_eq!(names, [("kubectl-edit", ".data.a"), ("somebody else", ".data.b")]);
    }

    #[test]
    fn a_servers_words_are_one_short_line() {
        let error = of(500, "InternalError", &"<p>\n  no </p>".repeat(200)).to_string();
        assert!(error.starts_with("`https://a:6443` failed with code 500: <p> no </p><p> no"), "{error}");
        assert!(error.chars().count() < 500 && error.ends_with('…'));
        assert_eq!(of(404, "", "").to_string(), "code 404");
    }
}
