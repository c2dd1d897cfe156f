//! What is asked of the API server and of the components' health ports.
//!
//! `health` asks whether a component is up. Everything else goes through an [`ApiServer`]: `apply` brings objects into
//! the cluster, `node` marks this machine's, `stored` reads, makes and removes them one by one. Failures are
//! [`ApiError`]s; what is asked again, and for how long, stands in `retry` alone.

mod apply;
mod connection;
mod error;
mod health;
mod node;
mod retry;
mod stored;

pub use apply::Applied;
pub use connection::ApiServer;
pub use error::{ApiError, FieldConflict};
pub use health::{Endpoint, startup_probe_server};
pub use retry::Patience;
pub use stored::Commit;
