//! `/containerLogs`: a container's log as kubectl asks for it [8.20].

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::access::Reviewer;
use super::query::Query;
use super::respond::{self, Answer};
use super::route::Target;
use super::serve::Server;
use crate::control::{ContainerState, ContainerStatus};
use crate::error::chain_of;
use crate::runner::logs::reader::{self, Followed, Wanted};
use crate::runner::runtime::Runtime;

/// Blocks that wait to be sent.
const WAITING: usize = 4;
/// Between two looks at whether a followed container still runs [6.12].
const LOOK: Duration = Duration::from_secs(1);
/// Logs that are read at a time; each takes a thread.
const MAX_READERS: usize = 64;

/// PURE: which part of the log; `Err` is a status and the kubelet's words.
fn wanted(query: &Query, now: Timestamp) -> Result<Wanted, (StatusCode, &'static str)> {
    const UNDECODABLE: (StatusCode, &str) = (StatusCode::BAD_REQUEST, r#"{"message": "Unable to decode query."}"#);
    const INVALID: (StatusCode, &str) = (StatusCode::UNPROCESSABLE_ENTITY, r#"{"message": "Invalid request."}"#);
    let number = |name: &str| -> Result<Option<i64>, _> {
        query.get(name).map(|text| text.parse().map_err(|_| UNDECODABLE)).transpose()
    };
    let at_least = |number: Option<i64>, least: i64| match number {
        Some(number) if number < least => Err(INVALID),
        number => Ok(number),
    };
    let tail = match query.get("tail") {
        Some("all") => None,
        Some("") | None => number("tailLines")?,
        Some(_) => number("tail")?,
    };
    let tail = at_least(tail, 0)?.map(|tail| usize::try_from(tail).unwrap_or(usize::MAX));
    let limit = at_least(number("limitBytes")?, 1)?.map(i64::unsigned_abs);
    let seconds = at_least(number("sinceSeconds")?, 1)?;
    let time = query.get("sinceTime").filter(|time| !time.is_empty());
    let time = time.map(|time| time.parse::<Timestamp>().map_err(|_| UNDECODABLE)).transpose()?;
    let since = match (seconds, time) {
        (Some(_), Some(_)) => return Err(INVALID),
        (Some(seconds), None) => Some(now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)),
        (None, time) => time,
    };
    Ok(Wanted { timestamps: query.is_true("timestamps"), since, tail, limit })
}

/// PURE: the file of the run that is meant; `Err` in the kubelet's words [6.10, 6.11].
fn file(container: &ContainerStatus, pod: &str, previous: bool) -> Result<PathBuf, String> {
    let name = &container.name;
    let missing = || format!("previous terminated container \"{name}\" in pod \"{pod}\" not found");
    let log = container.log.as_ref();
    if previous {
        let log = log.ok_or_else(missing)?;
        // while it waits, the run that is shown is the last one
        let back = u32::from(!matches!(container.state, ContainerState::Waiting { .. }));
        let attempt = container.restarts.checked_sub(back).ok_or_else(missing)?;
        return Ok(log.with_file_name(format!("{attempt}.log")));
    }
    match (log, &container.state) {
        (Some(log), _) => Ok(log.clone()),
        (None, ContainerState::Waiting { reason, .. }) => {
            let why = match reason.as_str() {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                reason => reason,
            };
            Err(format!("container \"{name}\" in pod \"{pod}\" is waiting to start: {why}"))
        }
        (None, _) => Err(format!("container \"{name}\" in pod \"{pod}\" is terminated")),
    }
}

/// The log of one run: the same file, until the container has ended or nobody reads.
struct Run {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    reader: mpsc::Sender<Bytes>,
}

impl Followed for Run {
    fn current(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.reader.is_closed()
    }
}

impl<R: Runtime, V: Reviewer> Server<R, V> {
    pub(super) async fn logs(self: Arc<Self>, target: &Target, query: &Query) -> Answer {
        let wanted = match wanted(query, Timestamp::now()) {
            Ok(wanted) => wanted,
            Err((status, words)) => return respond::text(status, words),
        };
        let pod = match self.pod(target).await {
            Some(pod) => pod,
            None => {
                return respond::text(StatusCode::NOT_FOUND, format!("pod \"{}\" does not exist", target.pod));
            }
        };
        let Some(container) = pod.all_containers().find(|one| one.name == target.container) else {
            let words = format!("container \"{}\" not found in pod \"{}\"", target.container, target.pod);
            return respond::text(StatusCode::NOT_FOUND, words);
        };
        let previous = query.is_true("previous");
        let path = match file(container, &target.pod, previous) {
            Ok(path) if !previous || path.exists() => path,
            Ok(_) => {
                let (name, pod) = (&target.container, &target.pod);
                let words = format!("previous terminated container \"{name}\" in pod \"{pod}\" not found");
                return respond::text(StatusCode::BAD_REQUEST, words);
            }
            Err(words) => return respond::text(StatusCode::BAD_REQUEST, words),
        };
        let Ok(place) = Arc::clone(&self.readers).try_acquire_owned() else {
            return respond::text(StatusCode::TOO_MANY_REQUESTS, "too many logs are being read");
        };
        let is_running = matches!(container.state, ContainerState::Running { .. });
        let follows = query.is_true("follow") && is_running && !previous;
        let ended = Arc::new(AtomicBool::new(false));
        let (blocks, answer) = mpsc::channel(WAITING);
        if let Some(id) = container.id.clone().filter(|_| follows) {
            let (server, ended, reader) = (Arc::clone(&self), Arc::clone(&ended), blocks.clone());
            tokio::spawn(async move {
                tokio::select! {
                    // an error: nothing is known of it any more
                    _ = server.site.runtime.wait_container(&id) => tokio::time::sleep(LOOK / 10).await,
                    () = reader.closed() => {}
                }
                ended.store(true, Ordering::Relaxed);
            });
        }
        // ends with the answer: whoever reads lets go of the other end of the channel
        tokio::task::spawn_blocking(move || {
            let run = Run { path: path.clone(), ended, reader: blocks.clone() };
            let followed: Option<&dyn Followed> = if follows { Some(&run) } else { None };
            let read = reader::read(path, wanted, followed, &mut |block| {
                blocks.blocking_send(Bytes::copy_from_slice(block)).map_err(std::io::Error::other)
            });
            if let Err(error) = read {
                tracing::debug!("a log that the API was asked for: {}", chain_of(&error));
            }
            drop(place);
        });
        respond::streamed(answer)
    }
}

pub(super) fn readers() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(MAX_READERS))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_the_kubelet_does() {
        let now = Timestamp::from_second(1000).unwrap();
        let of = |query| wanted(&Query::of(Some(query)), now);
        let status = |query| of(query).map_err(|(status, _)| status.as_u16());
        assert_eq!(of("follow=true"), Ok(Wanted::default()));
        assert_eq!(
            of("tailLines=3&timestamps=true").unwrap(),
            Wanted { timestamps: true, tail: Some(3), ..Wanted::default() }
        );
        assert_eq!((of("tail=5").unwrap().tail, of("tail=all&tailLines=2").unwrap().tail), (Some(5), None));
        assert_eq!(of("sinceSeconds=10").unwrap().since, Timestamp::from_second(990).ok());
        assert_eq!(of("sinceTime=1970-01-01T00:00:05Z").unwrap().since, Timestamp::from_second(5).ok());
        assert_eq!(of("limitBytes=9").unwrap().limit, Some(9));
        for invalid in
            ["tailLines=-1", "limitBytes=0", "sinceSeconds=0", "sinceSeconds=1&sinceTime=1970-01-01T00:00:05Z"]
        {
            assert_eq!(status(invalid), Err(422), "{invalid}");
        }
        for undecodable in ["tailLines=x", "sinceTime=yesterday", "tail=some"] {
            assert_eq!(status(undecodable), Err(400), "{undecodable}");
        }
    }

    fn container(state: ContainerState, restarts: u32, log: Option<&str>) -> ContainerStatus {
        ContainerStatus {
            name: "c".to_owned(),
            id: None,
            image: "i".to_owned(),
            image_id: None,
            state,
            started: true,
            ready: true,
            restarts,
            last_exit: None,
            next_try: None,
            restart_delay: None,
            probe: None,
            log: log.map(PathBuf::from),
        }
    }

    #[test]
    fn the_run_that_is_meant_is_found() {
        let running = || ContainerState::Running { pid: 1, started_at: Timestamp::UNIX_EPOCH };
        let waiting = |reason: &str| ContainerState::Waiting { reason: reason.to_owned(), message: None };
        let of = |state, restarts, log, previous| {
            file(&container(state, restarts, log), "p", previous).map(|path| path.display().to_string())
        };
        let missing = Err("previous terminated container \"c\" in pod \"p\" not found".to_owned());
        assert_eq!(of(running(), 3, Some("/l/3.log"), false), Ok("/l/3.log".to_owned()));
        assert_eq!(of(running(), 3, Some("/l/3.log"), true), Ok("/l/2.log".to_owned()));
        assert_eq!(of(running(), 0, Some("/l/0.log"), true), missing);
        assert_eq!(of(waiting("CrashLoopBackOff"), 3, Some("/l/3.log"), false), Ok("/l/3.log".to_owned()));
        assert_eq!(of(waiting("CrashLoopBackOff"), 3, Some("/l/3.log"), true), Ok("/l/3.log".to_owned()));
        assert_eq!(of(waiting("ContainerCreating"), 0, None, true), missing);
        for (reason, words) in [
            ("ErrImagePull", "image can't be pulled"),
            ("ImagePullBackOff", "trying and failing to pull image"),
            ("ContainerCreating", "ContainerCreating"),
        ] {
            let expected = format!("container \"c\" in pod \"p\" is waiting to start: {words}");
            assert_eq!(of(waiting(reason), 0, None, false), Err(expected));
        }
    }
}
