//! A container runtime in memory. It outlives the runners of a test, as real containers outlive real runners.
//!
//! What a container does is said by its image: `run` runs until it is stopped, `exit:N` ends at once with N,
//! `stubborn` ends only when its grace is over, `absent` cannot be fetched, `broken` cannot be started, `held` is
//! fetched when the test lets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bootstrap::runner::runtime::{
    Container, ContainerConfig, ContainerState, ExecOutput, Exit, ImageStatus, PodSandbox, PodSandboxConfig, Runtime,
    RuntimeError, RuntimeResult, SandboxState,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Double {
    begin: Instant,
    world: Arc<Mutex<World>>,
    /// Counts the changes of the world.
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct World {
    next_id: u32,
    sandboxes: BTreeMap<String, PodSandbox>,
    containers: BTreeMap<String, Container>,
    history: Vec<(Duration, String)>,
    let_go: bool,
    /// Exit codes that exec gives, for each container's name; 0 without one.
    exec: BTreeMap<String, i32>,
    execs: BTreeMap<String, u32>,
    /// The same for single commands, `name: command`.
    commands: BTreeMap<String, i32>,
    /// How long commands take.
    times: BTreeMap<String, Duration>,
}

impl Double {
    pub(super) fn new() -> Self {
        let changes = Arc::new(watch::Sender::new(0));
        Double { begin: Instant::now(), world: Arc::default(), changes }
    }

    fn change<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        let result = change(&mut self.world.lock().unwrap());
        self.changes.send_modify(|count| *count += 1);
        result
    }

    fn note(&self, world: &mut World, text: String) {
        world.history.push((self.begin.elapsed(), text));
    }

    /// What was asked of the runtime, without the times.
    pub(super) fn history(&self) -> Vec<String> {
        self.world.lock().unwrap().history.iter().map(|(_, text)| text.clone()).collect()
    }

    /// Seconds from the beginning at which something was asked.
    pub(super) fn times(&self, text: &str) -> Vec<u64> {
        let world = self.world.lock().unwrap();
        world.history.iter().filter(|(_, noted)| noted == text).map(|(at, _)| at.as_secs()).collect()
    }

    /// Name, attempt and id of what runs.
    pub(super) fn running(&self) -> Vec<(String, u32, String)> {
        let world = self.world.lock().unwrap();
        let running = world.containers.values().filter(|one| matches!(one.state, ContainerState::Running { .. }));
        running.map(|one| (one.config.name.clone(), one.config.attempt, one.id.clone())).collect()
    }

    pub(super) fn containers(&self) -> Vec<Container> {
        self.world.lock().unwrap().containers.values().cloned().collect()
    }

    pub(super) fn sandboxes(&self) -> Vec<PodSandbox> {
        self.world.lock().unwrap().sandboxes.values().cloned().collect()
    }

    /// Waits until the world is as told.
    pub(super) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let mut changes = self.changes.subscribe();
        let found = tokio::time::timeout(Duration::from_secs(3600), async {
            while !holds(self) {
                changes.changed().await.unwrap();
            }
        });
        assert!(found.await.is_ok(), "{what} never came; history: {:#?}", self.history());
    }

    /// Waits until the world has changed so often.
    pub(super) async fn changed(&self, times: u64) {
        self.changes.subscribe().wait_for(|count| *count >= times).await.unwrap();
    }

    /// A process ends by itself.
    pub(super) fn crash(&self, name: &str, code: i32) {
        self.change(|world| {
            let running =
                |one: &&mut Container| one.config.name == name && matches!(one.state, ContainerState::Running { .. });
            end(world.containers.values_mut().find(running).expect("it runs"), code);
        });
    }

    /// The machine is booted: nothing runs any more.
    pub(super) fn reboot(&self) {
        self.change(|world| {
            world.sandboxes.values_mut().for_each(|sandbox| sandbox.state = SandboxState::NotReady);
            world.containers.values_mut().for_each(|container| end(container, 137));
        });
    }

    /// A container is gone, and nothing is left of it.
    pub(super) fn vanish(&self, name: &str) {
        self.change(|world| world.containers.retain(|_, one| one.config.name != name));
    }

    pub(super) fn let_go(&self) {
        self.change(|world| world.let_go = true);
    }

    pub(super) fn set_exec(&self, name: &str, code: i32) {
        self.change(|world| world.exec.insert(name.to_owned(), code));
    }

    /// What a command gives from now on, as in `a: live`.
    pub(super) fn set_command(&self, command: &str, code: i32) {
        self.change(|world| world.commands.insert(command.to_owned(), code));
    }

    /// How long a command takes from now on.
    pub(super) fn set_time(&self, command: &str, time: Duration) {
        self.change(|world| world.times.insert(command.to_owned(), time));
    }

    pub(super) fn execs(&self, name: &str) -> u32 {
        self.world.lock().unwrap().execs.get(name).copied().unwrap_or(0)
    }
}

fn end(container: &mut Container, code: i32) {
    if let ContainerState::Running { started_at, .. } = container.state {
        let exit = Exit {
            code,
            signal: if code > 128 { code - 128 } else { 0 },
            code_known: true,
            oom_killed: false,
            finished_at: Timestamp::now(),
            message: None,
        };
        container.state = ContainerState::Exited { started_at: Some(started_at), exit };
    }
}

fn not_found(kind: &'static str, id: &str) -> RuntimeError {
    RuntimeError::NotFound { kind, id: id.to_owned() }
}

impl Runtime for Double {
    async fn run_pod_sandbox(&self, config: &PodSandboxConfig) -> RuntimeResult<PodSandbox> {
        self.change(|world| {
            self.note(world, format!("sandbox {}", config.metadata.name));
            let same = |other: &PodSandbox| {
                other.config.metadata.name == config.metadata.name && other.state == SandboxState::Ready
            };
            assert!(!world.sandboxes.values().any(same), "two sandboxes of one pod");
            world.next_id += 1;
            let sandbox = PodSandbox {
                id: format!("{:064x}", world.next_id),
                state: SandboxState::Ready,
                created_at: Timestamp::now(),
                ips: Vec::new(),
                config: config.clone(),
            };
            world.sandboxes.insert(sandbox.id.clone(), sandbox.clone());
            Ok(sandbox)
        })
    }

    async fn stop_pod_sandbox(&self, id: &str) -> RuntimeResult<()> {
        self.change(|world| {
            if let Some(sandbox) = world.sandboxes.get_mut(id) {
                sandbox.state = SandboxState::NotReady;
            }
            world.containers.values_mut().filter(|one| one.sandbox_id == id).for_each(|one| end(one, 137));
        });
        Ok(())
    }

    async fn remove_pod_sandbox(&self, id: &str) -> RuntimeResult<()> {
        self.change(|world| {
            if let Some(sandbox) = world.sandboxes.remove(id) {
                self.note(world, format!("gone {}", sandbox.config.metadata.name));
            }
            world.containers.retain(|_, one| one.sandbox_id != id);
        });
        Ok(())
    }

    async fn list_pod_sandboxes(&self) -> RuntimeResult<Vec<PodSandbox>> {
        Ok(self.sandboxes())
    }

    async fn create_container(&self, sandbox: &str, config: &ContainerConfig) -> RuntimeResult<Container> {
        self.change(|world| {
            if !world.sandboxes.contains_key(sandbox) {
                return Err(not_found("sandbox", sandbox));
            }
            if config.image == "bad" {
                return Err(RuntimeError::BadConfig("no command specified".to_owned()));
            }
            world.next_id += 1;
            let container = Container {
                id: format!("{:064x}", world.next_id),
                sandbox_id: sandbox.to_owned(),
                image_id: "sha256:0".to_owned(),
                created_at: Timestamp::now(),
                state: ContainerState::Created,
                config: config.clone(),
            };
            world.containers.insert(container.id.clone(), container.clone());
            Ok(container)
        })
    }

    async fn start_container(&self, id: &str) -> RuntimeResult<()> {
        self.change(|world| {
            let container = world.containers.get(id).cloned().ok_or_else(|| not_found("container", id))?;
            let copies = world.containers.values().filter(|other| {
                other.config.name == container.config.name && matches!(other.state, ContainerState::Running { .. })
            });
            assert_eq!(copies.count(), 0, "two live copies of `{}`", container.config.name);
            let name = container.config.name.clone();
            self.note(world, format!("start {name} #{}", container.config.attempt));
            self.note(world, format!("start {name}"));
            if container.config.image == "broken" {
                return Err(RuntimeError::Other(anyhow::anyhow!("exec: no such file")));
            }
            let container = world.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
            container.state = ContainerState::Running { pid: 1, started_at: Timestamp::now() };
            if let Some(code) = container.config.image.strip_prefix("exit:") {
                end(container, code.parse().unwrap());
            }
            let log = world.sandboxes[&container.sandbox_id].config.log_directory.join(&container.config.log_path);
            std::fs::create_dir_all(log.parent().unwrap()).unwrap();
            let line = format!("2026-01-01T00:00:00.5Z stdout F {name} attempt {}\n", container.config.attempt);
            std::fs::write(log, line).unwrap();
            Ok(())
        })
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> RuntimeResult<()> {
        let image = self.change(|world| {
            let container = world.containers.get(id).cloned().ok_or_else(|| not_found("container", id))?;
            self.note(world, format!("stop {} {}s", container.config.name, grace.as_secs()));
            Ok::<_, RuntimeError>(container.config.image)
        })?;
        let code = if image == "stubborn" {
            tokio::time::sleep(grace).await;
            137
        } else {
            143
        };
        self.change(|world| world.containers.get_mut(id).into_iter().for_each(|container| end(container, code)));
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> RuntimeResult<()> {
        self.change(|world| {
            if let Some(container) = world.containers.remove(id) {
                assert!(!matches!(container.state, ContainerState::Running { .. }), "a running container is removed");
            }
        });
        Ok(())
    }

    async fn list_containers(&self) -> RuntimeResult<Vec<Container>> {
        Ok(self.containers())
    }

    async fn container_status(&self, id: &str) -> RuntimeResult<Container> {
        self.world.lock().unwrap().containers.get(id).cloned().ok_or_else(|| not_found("container", id))
    }

    async fn wait_container(&self, id: &str) -> RuntimeResult<Exit> {
        let mut changes = self.changes.subscribe();
        loop {
            match self.container_status(id).await?.state {
                ContainerState::Exited { exit, .. } => return Ok(exit),
                ContainerState::Created | ContainerState::Running { .. } => changes.changed().await.unwrap(),
            }
        }
    }

    async fn exec_sync(&self, id: &str, command: &[String], timeout: Duration) -> RuntimeResult<ExecOutput> {
        let name = self.container_status(id).await?.config.name;
        let (code, time) = self.change(|world| {
            *world.execs.entry(name.clone()).or_default() += 1;
            let command = format!("{name}: {}", command.join(" "));
            self.note(world, format!("exec {command}"));
            let code = world.commands.get(&command).or_else(|| world.exec.get(&name));
            (code.copied().unwrap_or(0), world.times.get(&command).copied().unwrap_or_default())
        });
        tokio::time::sleep(time.min(timeout)).await;
        Ok(ExecOutput { exit_code: (time <= timeout).then_some(code), output: b"said so\n".to_vec() })
    }

    async fn image_status(&self, image: &str) -> RuntimeResult<Option<ImageStatus>> {
        let is_present = !["absent", "held"].contains(&image);
        let status = ImageStatus { id: "sha256:0".to_owned(), repo_digest: None, user: None };
        Ok(is_present.then_some(status))
    }

    async fn pull_image(&self, image: &str) -> RuntimeResult<ImageStatus> {
        self.change(|world| self.note(world, format!("pull {image}")));
        if image == "held" {
            let mut changes = self.changes.subscribe();
            while !self.world.lock().unwrap().let_go {
                changes.changed().await.unwrap();
            }
        } else if image == "absent" {
            let source = anyhow::anyhow!("nobody has it");
            return Err(RuntimeError::PullFailed { image: image.to_owned(), source });
        }
        Ok(ImageStatus { id: "sha256:0".to_owned(), repo_digest: None, user: None })
    }
}
