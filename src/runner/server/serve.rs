//! From a request to its answer.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Request, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::access::{Credentials, Gate, Refusal, Reviewer};
use super::identity::User;
use super::query::Query;
use super::respond::{self, Answer};
use super::route::{Attributes, Route};
use crate::control::{self, Reply};
use crate::error::{Context, Result};
use crate::runner::pods::Ask;
use crate::runner::runtime::Runtime;
use crate::runner::worker::Site;

/// What every request is served with.
pub struct Server<R, V> {
    pub(super) site: Arc<Site<R>>,
    asks: mpsc::Sender<Ask>,
    gate: Gate<V>,
}

impl<R: Runtime, V: Reviewer> Server<R, V> {
    pub(crate) fn new(site: Arc<Site<R>>, asks: mpsc::Sender<Ask>, gate: Gate<V>) -> Self {
        Server { site, asks, gate }
    }

    /// `certificate` is the user of the client's certificate, if it has shown one.
    pub async fn serve(self: Arc<Self>, request: Request<Incoming>, certificate: Option<User>) -> Answer {
        let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let credentials = Credentials { certificate, token: token.map(str::to_owned) };
        let attributes = Attributes::of(request.method(), request.uri().path());
        match self.gate.admit(&credentials, &attributes).await {
            Ok(_) => {}
            Err(Refusal::Unauthorized) => return respond::text(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Err(Refusal::Forbidden(words)) => return respond::text(StatusCode::FORBIDDEN, words),
            Err(Refusal::Unknown(words)) => return respond::text(StatusCode::INTERNAL_SERVER_ERROR, words),
        }
        let Some(route) = Route::of(request.uri().path()) else {
            return respond::text(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        if !route.methods().contains(request.method()) {
            return respond::text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        let _query = Query::of(request.uri().query());
        match route {
            // the pods' owner answers: its loop goes round
            Route::Healthz => match self.status().await {
                Ok(_) => respond::text(StatusCode::OK, "ok"),
                Err(_) => respond::text(StatusCode::INTERNAL_SERVER_ERROR, "syncloop: the runner is ending"),
            },
            _ => respond::text(StatusCode::NOT_FOUND, "404 page not found\n"),
        }
    }

    /// Every pod and container as it is now.
    pub(super) async fn status(&self) -> Result<control::Status> {
        let (answer, answered) = oneshot::channel();
        self.asks.send((control::Request::Status, answer)).await.context("the runner is ending")?;
        match answered.await.context("the runner has ended")? {
            Reply::Status(status) => Ok(status),
            _ => anyhow::bail!("the runner answers something else than its status"),
        }
    }
}

/// RFC 6750, 2.1.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!((bearer("Basic abc"), bearer("Bearer "), bearer("Bearer")), (None, None, None));
    }
}
