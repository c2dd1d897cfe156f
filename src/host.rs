//! The machine: what is found on it and what is done to it.
//!
//! Effects only; what to do was decided above. `host` knows nothing of the runner's inside: it talks to a runner
//! through `control`, as everybody does.

pub mod audit;
pub mod cluster;
pub mod daemon;
pub mod diagnosis;
pub mod dry_run;
pub mod facts;
pub mod found;
pub mod journal;
pub mod keys;
pub mod late;
pub mod lock;
pub mod manifests;
pub mod perform;
pub mod ports;
pub mod probe;
pub mod proof;
pub mod renew;
pub mod teardown;
pub mod users;
pub mod wait;
pub mod writer;
