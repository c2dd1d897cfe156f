//! Performs init's plan on the machine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::daemon::{self, RunnerOptions};
use super::journal::{self, Journal};
use super::late;
use super::lock::InstanceLock;
use super::users;
use super::wait::{Gate, SILENCE, Wait};
use super::writer::Writer;
use crate::api::{ApiServer, Endpoint, FieldConflict, Patience};
use crate::apply::Perform;
use crate::config::profile;
use crate::desired::account::Database;
use crate::desired::join::{Admission, JoinCommand};
use crate::desired::manifest::Manifest;
use crate::desired::node::Marks;
use crate::desired::object::{self, Object, token};
use crate::desired::{Desired, join};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::phase::undo::{Made, MadeKind};
use crate::plan::{Action, Condition, Step};
use crate::secret::Secret;

/// Gets an image into the store; the command line draws the progress.
pub type ObtainImage =
    dyn Fn(&str, crate::image::policy::PullPolicy) -> futures_util::future::BoxFuture<'static, Result<()>>;

pub struct Host<'a> {
    layout: Layout,
    desired: &'a Desired,
    writer: Writer,
    journal: Arc<Journal>,
    obtain_image: Box<ObtainImage>,
    tell: Box<dyn Fn(String) + 'a>,
    now: jiff::Timestamp,
    /// What this run has brought into the cluster for those who join.
    admission: RefCell<Admission>,
    join_commands: RefCell<Vec<JoinCommand>>,
    kubeconfig: Option<Secret>,
}

impl<'a> Host<'a> {
    pub fn new(
        layout: Layout,
        lock: &InstanceLock,
        desired: &'a Desired,
        now: jiff::Timestamp,
        obtain_image: Box<ObtainImage>,
        tell: Box<dyn Fn(String) + 'a>,
    ) -> Result<Host<'a>> {
        let journal = Arc::new(Journal::open(&layout, &lock.made)?);
        let moment = time::OffsetDateTime::from_unix_timestamp(now.as_second())?;
        let writer = Writer::new(layout.clone(), layout.clone(), desired.config.encryption_algorithm, moment);
        let (admission, join_commands) = Default::default();
        Ok(Host {
            layout,
            desired,
            writer,
            journal,
            obtain_image,
            tell,
            now,
            admission,
            join_commands,
            kubeconfig: None,
        })
    }

    /// Asks as the user of this kubeconfig, and at its server.
    #[must_use]
    pub fn as_user_of(mut self, kubeconfig: Option<Secret>) -> Host<'a> {
        self.kubeconfig = kubeconfig;
        self
    }

    /// What a step is about to make and is not there, missing parents first.
    fn about_to_make(&self, step: &Step) -> Vec<Made> {
        let data_dir = self.desired.config.etcd.local().map(|member| member.data_dir.as_path());
        let is_tree = |path: &Path| Some(path) == data_dir || path == Path::new(profile::AUDIT_LOGS);
        let mut made = Vec::new();
        let mut add = |kind, path: &Path| {
            made.push(Made { phase: step.phase.to_owned(), kind, path: path.to_owned() });
        };
        let mut paths: Vec<(&Path, bool)> = Vec::new();
        let unit = daemon::makes(&self.layout);
        for action in &step.actions {
            let is_directory = matches!(action, Action::MakeDirectory { .. });
            paths.extend(action.makes().into_iter().map(|path| (path, is_directory)));
            if let Action::WriteKubeconfig { file, .. } = action {
                let path = file.path();
                if !self.layout.under(&path).exists() {
                    add(MadeKind::File, &path);
                }
            }
            if let Action::MakeAccounts { allocation, .. } = action {
                for database in Database::ALL {
                    for (name, _) in allocation.missing(database) {
                        add(MadeKind::Account((*name).to_owned()), database.path());
                    }
                }
            }
            if matches!(action, Action::StartRunner) {
                unit.iter().for_each(|path| add(MadeKind::File, path));
            }
        }
        for (path, is_directory) in paths {
            let place = self.layout.under(path);
            for missing in journal::missing(place.parent().unwrap_or(Path::new("/"))) {
                if let Ok(missing) = missing.strip_prefix(self.layout.root()) {
                    add(MadeKind::Directory, &Path::new("/").join(missing));
                }
            }
            let is_empty = || std::fs::read_dir(&place).is_ok_and(|mut entries| entries.next().is_none());
            match is_directory {
                true if is_tree(path) && (!place.exists() || is_empty()) => add(MadeKind::Tree, path),
                true if !place.exists() => add(MadeKind::Directory, path),
                false if !place.exists() => add(MadeKind::File, path),
                _ => {}
            }
        }
        made
    }

    fn manifest(&self, component: &str) -> Result<&Manifest> {
        let found = self.desired.manifests.iter().find(|manifest| manifest.component.name() == component);
        found.with_context(|| format!("there is no manifest of {component}"))
    }

    async fn wait(&self, condition: Condition) -> Result<()> {
        let manifest = self.manifest(condition.component())?;
        let endpoint = match condition {
            Condition::ApiServerReady => {
                Endpoint::readyz(&self.powerful_kubeconfig()?, &self.desired.config.local_server()).await?
            }
            _ => {
                let container =
                    manifest.container().with_context(|| format!("{} has no container", condition.component()))?;
                let node_ip = self.desired.config.local_api_endpoint.advertise_address.to_string();
                Endpoint::of_startup_probe(container, &node_ip)?
            }
        };
        let wait = Wait {
            layout: &self.layout,
            component: condition.component(),
            manifest: self.layout.under(crate::phase::manifest_path(manifest.component)),
            gate: Gate::Endpoint(endpoint),
            patience: self.desired.config.timeouts.control_plane_component_health_check,
            tell: &*self.tell,
        };
        wait.run().await
    }

    fn own_kubeconfig(&self, name: &str) -> Result<String> {
        let file = self.desired.kubeconfigs.iter().find(|file| file.name == name);
        let file = file.with_context(|| format!("there is no kubeconfig `{name}`"))?;
        Ok(String::from_utf8_lossy(&self.writer.read(&file.path())?).into_owned())
    }

    /// Of the user that no missing role can lock out: `system:masters` [2].
    fn powerful_kubeconfig(&self) -> Result<String> {
        self.own_kubeconfig("super-admin").or_else(|_| self.own_kubeconfig("admin"))
    }

    /// As whom a step asks, and where: as the user of the kubeconfig that the command line names, otherwise here.
    async fn api_server(&self, step: &str) -> Result<ApiServer> {
        if let Some(kubeconfig) = &self.kubeconfig {
            return ApiServer::of_kubeconfig(kubeconfig.reveal()).await;
        }
        // the rights of `admin.conf` are the first object; everything after proves that they work
        let kubeconfig = match step {
            "wait-control-plane/admin-rbac" => self.powerful_kubeconfig()?,
            _ => self.own_kubeconfig("admin")?,
        };
        ApiServer::connect(&kubeconfig, &self.desired.config.local_server()).await
    }

    async fn apply_objects(&self, step: &str) -> Result<()> {
        let (config, now) = (&self.desired.config, self.now);
        let server = self.api_server(step).await?;
        let patience = self.patience();
        let mut late = late::gather(self.desired, &self.writer, now)?;
        late.live = self.patiently(step, late::look(&server, step, patience)).await?;
        if step == "upload-certs" {
            late.uploaded = late::uploaded(self.desired, &self.writer)?;
        }
        object::remarks(step, config, &late)?.into_iter().for_each(|remark| (self.tell)(remark));
        let mut done: Vec<(Object, String)> = Vec::new();
        for mut object in object::of_step(step, config, &late)? {
            done.iter().for_each(|(owner, uid)| object.set_owner(owner, uid));
            let applied = self.patiently(step, server.apply(&object, patience)).await?;
            for FieldConflict { manager, field } in applied.taken_back {
                (self.tell)(format!(
                    "{object}: `{manager}` had changed `{field}`; it is as the configuration says again"
                ));
            }
            done.extend(applied.uid.map(|uid| (object, uid)));
        }
        match step {
            "upload-certs" => self.admission.borrow_mut().certificate_key = config.certificate_key.clone(),
            "bootstrap-token" => {
                self.admission.borrow_mut().tokens = token::settle(&config.bootstrap_tokens, &late.live.tokens, now);
            }
            _ => {}
        }
        Ok(())
    }

    fn patience(&self) -> Patience {
        Patience::For(self.desired.config.timeouts.kubernetes_api_call)
    }

    async fn mark_node(&self, step: &str, marks: &Marks) -> Result<()> {
        let server = self.api_server(step).await?;
        self.patiently(step, server.mark_node(marks, self.patience())).await
    }

    /// After a while, a person wants to know what takes so long.
    async fn patiently<T>(&self, step: &str, asking: impl Future<Output = T>) -> T {
        tokio::pin!(asking);
        tokio::select! {
            answer = &mut asking => return answer,
            () = tokio::time::sleep(SILENCE) => {}
        }
        (self.tell)(format!("waiting for {step}: the API server has not taken it yet"));
        asking.await
    }

    fn learn_join_commands(&self) -> Result<()> {
        let authority = late::authority(self.desired, &self.writer)?;
        let commands = join::commands(&self.desired.config, authority.as_bytes(), &self.admission.borrow())?;
        *self.join_commands.borrow_mut() = commands;
        Ok(())
    }

    /// What the phase `show-join-command` has to show.
    pub fn join_commands(&self) -> Vec<JoinCommand> {
        self.join_commands.borrow().clone()
    }

    /// The key of the certificates that this run has uploaded.
    pub fn certificate_key(&self) -> Option<Secret> {
        self.admission.borrow().certificate_key.clone()
    }
}

impl Perform for Host<'_> {
    /// Writes the whole plan's makings into the journal, once and durably, and begins making keys.
    async fn prepare(&self, steps: &[&Step]) -> Result<()> {
        self.writer.prepare(steps);
        let mut about_to_make = BTreeMap::new();
        for (index, made) in steps.iter().flat_map(|step| self.about_to_make(step)).enumerate() {
            let (path, entry) = made.identity();
            about_to_make.entry((path.to_owned(), entry.map(str::to_owned))).or_insert((index, made));
        }
        let mut about_to_make: Vec<_> = about_to_make.into_values().collect();
        about_to_make.sort_by_key(|(index, _)| *index);
        let about_to_make: Vec<_> = about_to_make.into_iter().map(|(_, made)| made).collect();
        self.journal.announce(&about_to_make)
    }

    async fn perform(&self, step: &Step, action: &Action) -> Result<()> {
        if self.writer.perform(step, action).await? {
            match action {
                Action::WriteFile { path, content, .. } => self.journal.wrote(path, content.as_bytes())?,
                Action::WriteEncryptionConfiguration { path } => {
                    self.journal.wrote(path, &self.writer.read(path)?)?;
                }
                _ => {}
            }
            return Ok(());
        }
        match action {
            Action::ObtainImage { reference, policy } => (self.obtain_image)(reference, *policy).await,
            Action::MakeAccounts { accounts, allocation } => {
                let (layout, accounts, allocation) = (self.layout.clone(), *accounts, allocation.clone());
                tokio::task::spawn_blocking(move || users::make(&layout, &accounts, &allocation)).await?
            }
            Action::GiveAway { ownership, user, group } => users::give_away(&self.layout, ownership, *user, *group),
            Action::StartRunner => {
                let options = RunnerOptions {
                    node_name: self.desired.config.node.name.clone(),
                    node_ip: self.desired.config.local_api_endpoint.advertise_address.to_string(),
                };
                daemon::start(&self.layout, &options).await
            }
            Action::Await(condition) => self.wait(*condition).await,
            Action::ApplyObjects { step } => self.apply_objects(step).await,
            Action::MarkNode(marks) => self.mark_node(&step.name(), marks).await,
            Action::ShowJoinCommand => self.learn_join_commands(),
            other => anyhow::bail!("init does not know how to {other}"),
        }
    }
}
