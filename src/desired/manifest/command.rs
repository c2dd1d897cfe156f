//! The command of a component: its defaults and the user's `extraArgs` in one list [3.3].

use crate::config::Arg;
pub(super) use crate::config::last;
use crate::release::Version;

/// Flags that a component gets without the user's doing, by name.
#[derive(Debug, Default)]
pub(in crate::desired) struct Defaults(Vec<Arg>);

impl Defaults {
    pub(in crate::desired) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Arg { name: name.to_owned(), value: value.into() });
    }

    pub(super) fn set_all<const N: usize>(&mut self, flags: [(&str, &str); N]) {
        for (name, value) in flags {
            self.set(name, value);
        }
    }

    /// `program` and its flags.
    pub(super) fn command(self, program: &str, extra: &[Arg], version: &Version) -> Vec<String> {
        let mut command = vec![program.to_owned()];
        command.extend(self.flags(extra, version));
        command
    }

    /// `--name=value`. A flag of the user's takes the place of all defaults of that name.
    pub(in crate::desired) fn flags(self, extra: &[Arg], version: &Version) -> impl Iterator<Item = String> {
        let mut flags: Vec<Arg> =
            self.0.into_iter().filter(|default| extra.iter().all(|arg| arg.name != default.name)).collect();
        flags.sort_by(by_name);
        flags.extend(extra.iter().cloned());
        if version.sorts_extra_args() {
            flags.sort_by(by_name);
        }
        flags.into_iter().map(|Arg { name, value }| format!("--{name}={value}"))
    }
}

fn by_name(a: &Arg, b: &Arg) -> std::cmp::Ordering {
    (&a.name, &a.value).cmp(&(&b.name, &b.value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn command(version: &str, extra: &[(&str, &str)]) -> Vec<String> {
        let mut defaults = Defaults::default();
        defaults.set_all([("b", "1"), ("a", "2"), ("c", "")]);
        let extra: Vec<Arg> =
            extra.iter().map(|(name, value)| Arg { name: (*name).into(), value: (*value).into() }).collect();
        defaults.command("x", &extra, &version.parse().unwrap())
    }

    #[test]
    fn user_flags_replace_defaults_and_come_last() {
        assert_eq!(command("v1.36.2", &[]), ["x", "--a=2", "--b=1", "--c="]);
        let extra = [("z", "9"), ("b", "3"), ("b", "2")];
        assert_eq!(command("v1.36.2", &extra), ["x", "--a=2", "--c=", "--z=9", "--b=3", "--b=2"]);
    }

    #[test]
    fn older_versions_sort_them_all() {
        assert_eq!(command("v1.34.0", &[("z", "9"), ("b", "3")]), ["x", "--a=2", "--b=3", "--c=", "--z=9"]);
    }
}
