//! The end of init: how other machines join [5.10].

use clap::Args;
use serde_json::{Value, json};

use crate::desired::join::{JoinCommand, Role, WITHHELD};
use crate::secret::Secret;

/// What of the commands is not for every eye.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Withhold {
    /// Do not show the token that nodes join with
    #[arg(long)]
    skip_token_print: bool,
    /// Do not show the key of uploaded certificates
    #[arg(long)]
    skip_certificate_key_print: bool,
}

impl Withhold {
    fn shown(self, key: &Secret) -> String {
        if self.skip_certificate_key_print { WITHHELD } else { key.reveal() }.to_owned()
    }

    fn from(self, mut command: JoinCommand) -> JoinCommand {
        if self.skip_token_print {
            command.token = Secret::new(WITHHELD);
        }
        if let Role::ControlPlane { certificate_key: Some(key) } = &mut command.role {
            *key = Secret::new(self.shown(key));
        }
        command
    }
}

/// One block for each role that a machine can join in. `key` is that of the certificates that were uploaded: where no
/// command takes it, it is told by itself.
pub(super) fn text(commands: &[JoinCommand], key: Option<&Secret>, withhold: Withhold) -> String {
    let mut text = String::new();
    for command in commands {
        let what = match &command.role {
            Role::Worker => "Join a node:",
            Role::ControlPlane { certificate_key: Some(_) } => {
                "Join a control plane, within two hours, while the uploaded certificates are there:"
            }
            Role::ControlPlane { certificate_key: None } => {
                "Join a control plane, once the authorities and the service accounts' keys were copied to it:"
            }
        };
        let lines = withhold.from(command.clone()).lines();
        text.push_str(&format!("\n\n{what}\n  {}", lines.reveal()));
    }
    if let Some(key) = key.filter(|_| commands.iter().all(|command| command.role == Role::Worker)) {
        text.push_str(&format!("\n\n{}", key_text(key, withhold)));
    }
    text
}

/// The key, for commands that were made before the certificates were uploaded again.
pub(super) fn key_text(key: &Secret, withhold: Withhold) -> String {
    let key = withhold.shown(key);
    format!("The certificates are in the cluster for two hours. Who joins shows this key:\n  --certificate-key {key}")
}

/// The same for programs, each command on one line.
pub(super) fn json(commands: &[JoinCommand], key: Option<Secret>, withhold: Withhold) -> Value {
    let of = |is_worker: bool| -> Vec<String> {
        let commands = commands.iter().filter(|command| (command.role == Role::Worker) == is_worker);
        commands.map(|command| withhold.from(command.clone()).one_line().reveal().to_owned()).collect()
    };
    let mut told = json!({ "nodes": of(true), "controlPlanes": of(false) });
    if let Some(key) = key {
        told["certificateKey"] = withhold.shown(&key).into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOW: Withhold = Withhold { skip_token_print: false, skip_certificate_key_print: false };

    fn command(role: Role) -> JoinCommand {
        JoinCommand {
            endpoint: "a:6443".to_owned(),
            token: Secret::new("t.s"),
            pins: vec!["sha256:p".to_owned()],
            role,
        }
    }

    #[test]
    fn secrets_are_shown_unless_they_are_withheld() {
        let key = Some(Secret::new("KEY"));
        let commands = [command(Role::Worker), command(Role::ControlPlane { certificate_key: key.clone() })];
        let shown = text(&commands, key.as_ref(), SHOW);
        assert!(shown.contains("--token t.s") && shown.contains("--certificate-key KEY"), "{shown}");
        assert_eq!(shown.matches("KEY").count(), 1, "{shown}");
        let worker_only = text(&commands[..1], key.as_ref(), SHOW);
        assert!(worker_only.ends_with("--certificate-key KEY"), "{worker_only}");
        let withhold = Withhold { skip_token_print: true, skip_certificate_key_print: true };
        let key = Secret::new("KEY");
        let in_json = json(&commands, Some(key.clone()), withhold).to_string();
        for told in [text(&commands, None, withhold), in_json, key_text(&key, withhold)] {
            assert!(!told.contains("t.s") && !told.contains("KEY") && told.contains(WITHHELD), "{told}");
        }
    }

    #[test]
    fn programs_get_one_line_for_each_role() {
        let commands = [command(Role::Worker), command(Role::ControlPlane { certificate_key: None })];
        let told = json(&commands, None, SHOW);
        let line = "kubeadm join a:6443 --token t.s --discovery-token-ca-cert-hash sha256:p";
        assert_eq!(told, json!({ "nodes": [line], "controlPlanes": [format!("{line} --control-plane")] }));
    }
}
