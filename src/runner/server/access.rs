//! Whom a request is from, and whether it may be served [8.3-8.7].
//!
//! Clients are known by a certificate of the cluster's authority or by a token, never by nothing. What they may do is
//! the API server's to say. Two answers are known without it: its own superusers may do everything, as there; and
//! while it does not answer at all, the certificate that it itself comes with may do what it could do anyway
//! (docs/security.md).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::cache::Cache;
use super::identity::User;
use super::route::Attributes;
use crate::error::{Result, chain_of};

/// How long an answer is believed [8.3, 8.4].
pub const TOKEN: Duration = Duration::from_secs(120);
pub const ALLOWED: Duration = Duration::from_secs(300);
pub const DENIED: Duration = Duration::from_secs(30);

/// The API server, asked about others.
pub trait Reviewer: Send + Sync + 'static {
    /// Whose token it is, if it is anybody's.
    fn token(&self, token: &str) -> impl Future<Output = Result<Option<User>>> + Send;
    /// Whether the user may do `verb` with that subresource of this node.
    fn access(&self, user: &User, verb: &str, subresource: &str) -> impl Future<Output = Result<bool>> + Send;
}

/// What a client shows.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user of a verified certificate.
    pub certificate: Option<User>,
    pub token: Option<String>,
}

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// 401: nobody knows who that is.
    Unauthorized,
    /// 403, in the kubelet's words.
    Forbidden(String),
    /// 500, in the kubelet's words: nobody could say.
    Unknown(String),
}

type Access = (User, &'static str, &'static str);

#[derive(Debug)]
pub struct Gate<R> {
    reviewer: R,
    /// By their digests.
    tokens: Mutex<Cache<[u8; 32], Option<User>>>,
    accesses: Mutex<Cache<Access, bool>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // nothing is left half-changed by a panic
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Reviewer> Gate<R> {
    pub fn new(reviewer: R) -> Gate<R> {
        Gate { reviewer, tokens: Mutex::default(), accesses: Mutex::default() }
    }

    /// The user, if it may.
    pub async fn admit(&self, credentials: &Credentials, attributes: &Attributes) -> Result<User, Refusal> {
        if let Some(user) = &credentials.certificate {
            return match user.is_master() {
                true => Ok(user.clone()),
                false => self.authorize(user, attributes, user.is_api_server()).await,
            };
        }
        let Some(token) = &credentials.token else { return Err(Refusal::Unauthorized) };
        let user = self.owner(token).await.ok_or(Refusal::Unauthorized)?;
        self.authorize(&user, attributes, false).await
    }

    async fn owner(&self, token: &str) -> Option<User> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = lock(&self.tokens).get(&digest, Instant::now());
        if let Some(known) = known {
            return known;
        }
        match self.reviewer.token(token).await {
            Ok(owner) => {
                lock(&self.tokens).put(digest, owner.clone(), TOKEN, Instant::now());
                owner
            }
            Err(error) => {
                tracing::debug!("cannot review a token: {}", chain_of(&error));
                None
            }
        }
    }

    /// `trusted`: without an answer, it may.
    async fn authorize(&self, user: &User, attributes: &Attributes, trusted: bool) -> Result<User, Refusal> {
        let Attributes { verb, subresources } = attributes;
        let words = |head: &str| {
            let name = &user.name;
            format!("{head} (user={name}, verb={verb}, resource=nodes, subresource(s)=[{}])", subresources.join(" "))
        };
        for subresource in *subresources {
            match self.may(user, verb, subresource).await {
                Ok(true) => return Ok(user.clone()),
                Ok(false) => {}
                Err(_) if trusted => return Ok(user.clone()),
                Err(error) => {
                    tracing::debug!("cannot review an access: {}", chain_of(&error));
                    return Err(Refusal::Unknown(words("Authorization error")));
                }
            }
        }
        Err(Refusal::Forbidden(words("Forbidden")))
    }

    async fn may(&self, user: &User, verb: &'static str, subresource: &'static str) -> Result<bool> {
        let access = (user.clone(), verb, subresource);
        let known = lock(&self.accesses).get(&access, Instant::now());
        if let Some(known) = known {
            return Ok(known);
        }
        let allowed = self.reviewer.access(user, verb, subresource).await?;
        let lasts = if allowed { ALLOWED } else { DENIED };
        lock(&self.accesses).put(access, allowed, lasts, Instant::now());
        Ok(allowed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use hyper::Method;

    use super::*;

    /// Knows the token `good`, lets `reader` use `metrics` and everybody `proxy` whose name begins with `proxy`.
    #[derive(Debug, Default)]
    struct Api {
        down: AtomicBool,
        asked: AtomicU32,
    }

    impl Reviewer for &'static Api {
        async fn token(&self, token: &str) -> Result<Option<User>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(!self.down.load(Ordering::Relaxed), "down");
            Ok((token == "good").then(|| user("reader", &[])))
        }

        async fn access(&self, user: &User, _verb: &str, subresource: &str) -> Result<bool> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(!self.down.load(Ordering::Relaxed), "down");
            Ok(match subresource {
                "metrics" => user.name == "reader",
                "proxy" => user.name.starts_with("proxy"),
                _ => false,
            })
        }
    }

    fn user(name: &str, groups: &[&str]) -> User {
        User {
            name: name.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..User::default()
        }
    }

    fn certificate(name: &str, groups: &[&str]) -> Credentials {
        Credentials { certificate: Some(user(name, groups)), token: None }
    }

    fn token(token: &str) -> Credentials {
        Credentials { certificate: None, token: Some(token.to_owned()) }
    }

    fn get(path: &str) -> Attributes {
        Attributes::of(&Method::GET, path)
    }

    fn gate() -> (Gate<&'static Api>, &'static Api) {
        let api: &'static Api = Box::leak(Box::default());
        (Gate::new(api), api)
    }

    #[tokio::test]
    async fn nobody_is_served_without_a_name() {
        let (gate, _) = gate();
        assert_eq!(gate.admit(&Credentials::default(), &get("/healthz")).await, Err(Refusal::Unauthorized));
        assert_eq!(gate.admit(&token("bad"), &get("/healthz")).await, Err(Refusal::Unauthorized));
    }

    #[tokio::test]
    async fn the_api_server_says_who_may_what() {
        let (gate, api) = gate();
        let forbidden = |words: &str| Err(Refusal::Forbidden(words.to_owned()));
        assert!(gate.admit(&token("good"), &get("/metrics")).await.is_ok());
        let words = "Forbidden (user=reader, verb=get, resource=nodes, subresource(s)=[pods proxy])";
        assert_eq!(gate.admit(&token("good"), &get("/pods")).await, forbidden(words));
        assert!(gate.admit(&certificate("proxy-user", &[]), &get("/pods")).await.is_ok());
        assert_eq!(api.asked.load(Ordering::Relaxed), 6);
        // answers are believed, refusals too
        assert!(gate.admit(&token("good"), &get("/metrics/cadvisor")).await.is_ok());
        assert_eq!(gate.admit(&token("good"), &get("/pods")).await, forbidden(words));
        assert_eq!(api.asked.load(Ordering::Relaxed), 6);
    }

    #[tokio::test]
    async fn while_the_api_server_is_down_only_its_own_certificate_and_superusers_are_served() {
        let (gate, api) = gate();
        api.down.store(true, Ordering::Relaxed);
        let logs = get("/containerLogs/a/b/c");
        assert!(gate.admit(&certificate("anybody", &["system:masters"]), &logs).await.is_ok());
        assert_eq!(api.asked.load(Ordering::Relaxed), 0, "nobody needs to be asked");
        let own = certificate("kube-apiserver-kubelet-client", &["kubeadm:cluster-admins"]);
        assert!(gate.admit(&own, &logs).await.is_ok());
        let words = "Authorization error (user=kubernetes-admin, verb=get, resource=nodes, subresource(s)=[proxy])";
        let admin = certificate("kubernetes-admin", &["kubeadm:cluster-admins"]);
        assert_eq!(gate.admit(&admin, &logs).await, Err(Refusal::Unknown(words.to_owned())));
        assert_eq!(gate.admit(&token("good"), &logs).await, Err(Refusal::Unauthorized));
        // it is back: what nobody could say is not believed
        api.down.store(false, Ordering::Relaxed);
        assert!(matches!(gate.admit(&own, &logs).await, Err(Refusal::Forbidden(_))));
    }

    #[tokio::test]
    async fn a_token_makes_nobody_a_superuser_of_its_own() {
        struct Masters;
        impl Reviewer for Masters {
            async fn token(&self, _token: &str) -> Result<Option<User>> {
                Ok(Some(user("x", &["system:masters"])))
            }
            async fn access(&self, _user: &User, _verb: &str, _subresource: &str) -> Result<bool> {
                Ok(false)
            }
        }
        let admitted = Gate::new(Masters).admit(&token("t"), &get("/pods")).await;
        assert!(matches!(admitted, Err(Refusal::Forbidden(_))));
    }
}
