//! The container's first process: what it runs, as whom, with which environment. PURE.

use serde_json::{Value, json};

use super::user::ResolvedUser;
use super::{Facts, capability};
use crate::image::manifest::ImageConfig;
use crate::runner::runtime::{ContainerConfig, RuntimeError, RuntimeResult};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn build(
    config: &ContainerConfig,
    image: &ImageConfig,
    facts: &Facts,
    user: &ResolvedUser,
) -> RuntimeResult<Value> {
    let held = capability::names(capability::mask(&config.security, facts)?);
    Ok(json!({
        "terminal": config.tty,
        "user": { "uid": user.uid, "gid": user.gid, "umask": 0o022, "additionalGids": user.additional_gids },
        "args": command(config, image)?,
        "env": environment(config, image, facts, user)?,
        "cwd": working_dir(config, image)?,
        // never inheritable nor ambient: CVE-2022-29162
        "capabilities": {
            "bounding": held, "permitted": held, "effective": held, "inheritable": [], "ambient": [],
        },
        "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": facts.open_files, "hard": facts.open_files }],
        "noNewPrivileges": config.security.no_new_privileges,
    }))
}

/// A command replaces the image's entrypoint and cmd, arguments replace its cmd [3.70].
fn command(config: &ContainerConfig, image: &ImageConfig) -> RuntimeResult<Vec<String>> {
    let (program, arguments) = match (config.command.as_slice(), config.args.as_slice()) {
        ([], []) => (image.entrypoint.as_slice(), image.cmd.as_slice()),
        ([], arguments) => (image.entrypoint.as_slice(), arguments),
        (program, arguments) => (program, arguments),
    };
    let whole: Vec<_> = program.iter().chain(arguments).cloned().collect();
    if whole.first().is_none_or(String::is_empty) {
        return Err(RuntimeError::BadConfig(format!(
            "no command specified: neither container `{}` nor its image `{}` names one",
            config.name, config.image
        )));
    }
    no_nul("command", &whole)?;
    Ok(whole)
}

/// The image's variables below the pod's, each name once, at its first place.
fn environment(
    config: &ContainerConfig,
    image: &ImageConfig,
    facts: &Facts,
    user: &ResolvedUser,
) -> RuntimeResult<Vec<String>> {
    let mut variables: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match variables.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => *old = value.to_owned(),
        None => variables.push((name.to_owned(), value.to_owned())),
    };
    set("HOSTNAME", &facts.hostname);
    set("PATH", PATH);
    // the library would look HOME up with the machine's name service inside the container
    set("HOME", &user.home);
    for variable in &image.env {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        set(name, value);
    }
    for (name, value) in &config.env {
        set(name, value);
    }
    let lines: Vec<_> = variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    no_nul("environment", &lines)?;
    Ok(lines)
}

fn working_dir(config: &ContainerConfig, image: &ImageConfig) -> RuntimeResult<String> {
    let named = config.working_dir.as_deref().filter(|path| !path.is_empty());
    let path = named.or(image.working_dir.as_deref().filter(|path| !path.is_empty())).unwrap_or("/");
    no_nul("working directory", &[path.to_owned()])?;
    // images built by hand say `app`; engines take it from the root
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn no_nul(what: &str, texts: &[String]) -> RuntimeResult<()> {
    match texts.iter().find(|text| text.contains('\0')) {
        Some(text) => Err(RuntimeError::BadConfig(format!("the {what} holds a NUL character: {text:?}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{config, facts};
    use super::*;

    fn list(words: &str) -> Vec<String> {
        words.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn case_131_commands_and_arguments_replace_the_images() {
        let cases = [
            ("", "", "/entry sub", "--flag", Some("/entry sub --flag")),
            ("", "a b", "/entry", "--flag", Some("/entry a b")),
            ("run", "", "/entry", "--flag", Some("run")),
            ("run", "a", "/entry", "--flag", Some("run a")),
            ("", "", "", "cmd", Some("cmd")),
            ("", "", "", "", None),
        ];
        for (command_, args, entrypoint, cmd, expected) in cases {
            let config = ContainerConfig { command: list(command_), args: list(args), ..config() };
            let image = ImageConfig { entrypoint: list(entrypoint), cmd: list(cmd), ..ImageConfig::default() };
            assert_eq!(command(&config, &image).ok(), expected.map(list), "{config:?}");
        }
    }

    #[test]
    fn the_pods_variables_win_and_order_is_kept() {
        let image = ImageConfig { env: list("A=image B=1=2 PATH=/bin EMPTY"), ..ImageConfig::default() };
        let config = ContainerConfig { env: vec![("A".into(), "pod".into()), ("C".into(), "3".into())], ..config() };
        let user = ResolvedUser { home: "/root".into(), ..ResolvedUser::default() };
        let environment = environment(&config, &image, &facts(), &user).unwrap();
        assert_eq!(environment, list("HOSTNAME=node PATH=/bin HOME=/root A=pod B=1=2 EMPTY= C=3"));
    }

    #[test]
    fn the_working_directory_is_absolute() {
        let image = |path: &str| ImageConfig { working_dir: Some(path.into()), ..ImageConfig::default() };
        assert_eq!(working_dir(&config(), &image("")).unwrap(), "/");
        assert_eq!(working_dir(&config(), &image("app")).unwrap(), "/app");
        let named = ContainerConfig { working_dir: Some("/data".into()), ..config() };
        assert_eq!(working_dir(&named, &image("/app")).unwrap(), "/data");
    }

    #[test]
    fn a_nul_is_refused_with_its_place() {
        let config = ContainerConfig { command: vec!["a\0b".into()], ..config() };
        let error = command(&config, &ImageConfig::default()).unwrap_err().to_string();
        assert!(error.contains("command") && error.contains("a\\0b"), "{error}");
    }
}
