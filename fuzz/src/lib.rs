//! What the targets share: the limits that hold for every input, a machine, and a configuration that resolves.

use std::time::Duration;

use bootstrap::config::Config;
use bootstrap::config::facts::Facts;
use bootstrap::config::file::FileInput;
use bootstrap::config::flags::Flags;
use bootstrap::config::resolve::resolve;
use bootstrap::error::{Exit, chain_of, exit_of};
use jiff::Timestamp;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Of CPU time, so that a busy machine fails nothing.
const LONGEST: Duration = Duration::from_secs(1);
const MOST_KIB: i64 = 256 * 1024;

/// Does the work, and panics when it took more time or memory than any input is worth.
pub fn bounded<T>(work: impl FnOnce() -> T) -> T {
    let before = usage();
    let result = work();
    let after = usage();
    let took = cpu(&after) - cpu(&before);
    assert!(took <= LONGEST, "it took {took:?}");
    let more = after.max_rss() - before.max_rss();
    assert!(more <= MOST_KIB, "it took {more} KiB of memory");
    result
}

fn usage() -> Usage {
    getrusage(UsageWho::RUSAGE_THREAD).expect("every thread has it")
}

fn cpu(usage: &Usage) -> Duration {
    Duration::from_micros((usage.user_time() + usage.system_time()).num_microseconds().cast_unsigned())
}

/// A machine whose clock stands still.
pub fn facts() -> Facts {
    Facts::placeholder(now())
}

/// Some moment of 2026.
pub fn now() -> Timestamp {
    Timestamp::from_second(1_785_000_000).expect("a moment that jiff knows")
}

/// What a configuration file without a word resolves to.
pub fn config() -> Config {
    let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n".to_owned();
    let file = FileInput { name: "kubeadm.yaml".to_owned(), text };
    resolve(&Flags::default(), Some(file), &facts()).expect("a configuration of defaults")
}

/// The user's input is the reason, and the user is told so.
pub fn assert_refused(error: &anyhow::Error) {
    assert_eq!(exit_of(error), Exit::Usage, "{}", chain_of(error));
}

/// `text` is in the input for whoever may read the input, and must not be in a message.
pub fn assert_hidden(secret: &str, message: &str) {
    assert!(!message.contains(secret), "a secret is in `{message}`");
}
