//! Lifecycle hooks: what a container wants done once it has started, and before it is stopped [3.J].

use std::net::IpAddr;
use std::time::Duration;

use super::pod::Hook;
use super::probe::http::{Agent, Called, Client};
use super::runtime::Runtime;
use super::worker::Site;
use crate::error::chain_of;

/// A postStart hook may take as long as it likes [3.98]; one that hangs ends with its container.
pub const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Runs a hook of the container with this id, for as long as `limit`; `Err` says why it failed.
/// `ip`: the pod's.
pub async fn run<R: Runtime>(
    site: &Site<R>,
    container: &str,
    ip: IpAddr,
    hook: &Hook,
    limit: Duration,
) -> Result<(), String> {
    match hook {
        Hook::Exec { command } => match site.runtime.exec_sync(container, command, limit).await {
            Ok(output) => match output.exit_code {
                Some(0) => Ok(()),
                Some(code) => {
                    let said = String::from_utf8_lossy(&output.output).trim_end().to_owned();
                    Err(format!("command '{}' exited with {code}: {said}", command.join(" ")))
                }
                None => Err(format!("command '{}' did not end within {} s", command.join(" "), limit.as_secs())),
            },
            Err(error) => Err(chain_of(&error.into())),
        },
        Hook::Http(get) => match Client::new(get, &ip.to_string(), Agent::Lifecycle).call(limit).await? {
            Called::AsAsked => Ok(()),
            Called::InPlain => {
                tracing::warn!(
                    "container `{container}`: LifecycleHTTPFallback: request to HTTPS lifecycle hook got HTTP \
                     response, retry with HTTP succeeded"
                );
                Ok(())
            }
        },
        Hook::Sleep(duration) => {
            tokio::time::sleep(*duration.min(&limit)).await;
            Ok(())
        }
    }
}
