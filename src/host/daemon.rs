//! Starts and stops the runner in the background: a systemd unit where systemd is PID 1, otherwise a daemon of its
//! own. Either way the runner outlives init, and the containers outlive the runner.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::{self, Reply, Request};
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::Layout;

/// How long a runner may take to answer for the first time, and to end when asked.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(5);
/// Longer than any line of the runner's log that is worth telling.
const LINE: u64 = 4 << 10;

/// How many files the runner and its containers may open under systemd.
pub const OPEN_FILES: u64 = 1_048_576;

/// Where the unit file goes; a path of the node.
pub const UNIT: &str = "/etc/systemd/system/bootstrap.service";

/// How the runner is to be started.
#[derive(Debug, Clone)]
pub struct RunnerOptions {
    pub node_name: String,
    pub node_ip: String,
}

/// What starts processes on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    /// systemd is PID 1, and the instance is the machine's own.
    Systemd,
    /// Nobody: the runner is a daemon.
    None,
}

impl Supervisor {
    /// sd_booted(3): systemd is PID 1 when this directory exists. An instance under another root never gets a unit.
    pub fn detect(layout: &Layout) -> Supervisor {
        if layout.is_default_root() && Path::new("/run/systemd/system").is_dir() {
            Supervisor::Systemd
        } else {
            Supervisor::None
        }
    }
}

/// Whether a runner of this instance answers.
pub async fn is_running(layout: &Layout) -> bool {
    matches!(control::client::call(layout, Request::Status).await, Ok(Reply::Status(_)))
}

/// Starts the runner unless one answers, and returns once it does.
pub async fn start(layout: &Layout, options: &RunnerOptions) -> Result<()> {
    match control::client::call(layout, Request::Status).await {
        // what a reset has left that was interrupted: it starts no pod any more
        Ok(Reply::Status(status)) if status.runner.draining => stop(layout).await?,
        Ok(Reply::Status(_)) => return Ok(()),
        _ => {}
    }
    match Supervisor::detect(layout) {
        Supervisor::Systemd => {
            files::write(&layout.under(UNIT), unit(options)?.as_bytes(), 0o644)?;
            systemctl(&["daemon-reload"]).await?;
            systemctl(&["enable", "--now", "bootstrap.service"]).await?;
            answers(layout, None).await
        }
        Supervisor::None => {
            let child = spawn(layout, options)?;
            answers(layout, Some(child)).await
        }
    }
}

fn arguments(options: &RunnerOptions) -> Vec<String> {
    vec!["runner".to_owned(), format!("--node-name={}", options.node_name), format!("--node-ip={}", options.node_ip)]
}

fn spawn(layout: &Layout, options: &RunnerOptions) -> Result<Child> {
    let path = layout.runner_log();
    if let Some(directory) = path.parent() {
        files::make_directory(directory, crate::layout::PUBLIC_DIRECTORY)?;
    }
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open the runner's log `{}`", path.display()))?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut root = OsString::from("--root=");
    root.push(layout.root());
    Command::new(program)
        .arg(root)
        .args(arguments(options))
        .arg("--detach")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("cannot start the runner")
}

/// Waits until the runner answers; `child` is watched, so that one that ends at once is told at once.
async fn answers(layout: &Layout, mut child: Option<Child>) -> Result<()> {
    let begin = Instant::now();
    loop {
        if is_running(layout).await {
            return Ok(());
        }
        if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
            let last = last_line(&layout.runner_log());
            let message = format!("the runner ended at once ({status}): {last}");
            return Err(Fault::failed(message).hint(where_log_is(layout)).into());
        }
        if begin.elapsed() > PATIENCE {
            return Err(Fault::failed("the runner does not answer").hint(where_log_is(layout)).into());
        }
        sleep(POLL).await;
    }
}

fn last_line(path: &Path) -> String {
    let text = files::tail(path, LINE).unwrap_or_default();
    text.lines().rfind(|line| !line.is_empty()).unwrap_or("it wrote nothing").to_owned()
}

/// Where a person reads what the runner says.
pub fn where_log_is(layout: &Layout) -> String {
    match Supervisor::detect(layout) {
        Supervisor::Systemd => "its log: `journalctl -u bootstrap`".to_owned(),
        Supervisor::None => format!("its log is `{}`", layout.runner_log().display()),
    }
}

/// Asks the runner to end and waits until it has. Containers live on. Without a runner nothing happens.
pub async fn stop(layout: &Layout) -> Result<()> {
    if Supervisor::detect(layout) == Supervisor::Systemd && layout.under(UNIT).exists() {
        systemctl(&["disable", "--now", "bootstrap.service"]).await?;
    }
    if is_running(layout).await {
        control::client::call(layout, Request::Shutdown).await?;
    }
    let begin = Instant::now();
    // its socket goes before it does
    while holds_lock(layout) {
        if begin.elapsed() > PATIENCE {
            return Err(Fault::failed("the runner does not end").hint(where_log_is(layout)).into());
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Whether a runner of this instance lives, whatever it answers.
fn holds_lock(layout: &Layout) -> bool {
    let lock = File::open(layout.runner_lock());
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// The unit: `KillMode=process` and `Delegate=yes`, or systemd would end the containers with the runner.
fn unit(options: &RunnerOptions) -> Result<String> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(format!(
        "[Unit]\n\
         Description=Static pods of the Kubernetes control plane\n\
         After=network-online.target local-fs.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         ExecStart={}\n\
         Restart=always\n\
         RestartSec=1\n\
         KillMode=process\n\
         Delegate=yes\n\
         OOMScoreAdjust=-999\n\
         LimitNOFILE={OPEN_FILES}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        std::iter::once(quote(&program))
            .chain(arguments(options).into_iter().map(|argument| quote(Path::new(&argument))))
            .collect::<Vec<_>>()
            .join(" ")
    ))
}

/// systemd.service(5): quoted, `%` and `$` doubled.
fn quote(word: &Path) -> String {
    let word = word.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", word.replace('%', "%%").replace('$', "$$"))
}

async fn systemctl(arguments: &[&str]) -> Result<()> {
    let output = tokio::process::Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run systemctl")?;
    if !output.status.success() {
        anyhow::bail!("`systemctl {}`: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// The files that a start makes besides the runner's own, for the journal; paths of the node.
pub fn makes(layout: &Layout) -> Vec<PathBuf> {
    match Supervisor::detect(layout) {
        Supervisor::Systemd => vec![UNIT.into()],
        Supervisor::None => Vec::new(),
    }
}
