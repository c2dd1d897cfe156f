//! Flags of the processes that run.

use std::fmt;

use super::Verdict;
use crate::audit::Status;
use crate::audit::facts::{Facts, flag};
use crate::desired::manifest::Component;
use crate::release::Version;

/// A flag and what is asked of it.
#[derive(Debug)]
pub(in crate::audit) struct Test {
    pub(in crate::audit) flag: &'static str,
    pub(in crate::audit) check: Check,
    /// Versions that it is asked of.
    pub(in crate::audit) when: fn(&Version) -> bool,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::audit) enum Check {
    Set,
    Unset,
    Is(&'static str),
    IsOrUnset(&'static str),
    /// A list with this in it.
    Has(&'static str),
    /// A list without this, or none.
    HasNot(&'static str),
    AtLeast(u64),
    /// A list of nothing else than these.
    OnlyOf(&'static [&'static str]),
}

/// Of every version.
pub(in crate::audit) const fn test(flag: &'static str, check: Check) -> Test {
    Test { flag, check, when: |_| true }
}

/// All tests must hold.
pub(super) fn judge(component: Component, tests: &[Test], facts: &Facts) -> Verdict {
    let Some(arguments) = facts.processes.get(&component) else { return down(component, expected(tests), facts) };
    let asked = || tests.iter().filter(|test| facts.version.as_ref().is_none_or(|version| (test.when)(version)));
    let expected = told(asked());
    let found: Vec<_> = asked().map(|test| value(test.flag, flag(arguments, test.flag))).collect();
    let found = found.join(", ");
    let missing: Vec<_> = asked()
        .filter(|test| !test.check.holds(flag(arguments, test.flag)))
        .map(|test| test.check.remedy(test.flag))
        .collect();
    match missing.is_empty() {
        true => Verdict::new(Status::Pass, expected, found),
        false => Verdict::fail(expected, found, format!("{} in `{}`", missing.join(", "), extra_args(component))),
    }
}

/// What the tests ask for, in words.
pub(super) fn expected(tests: &[Test]) -> String {
    told(tests.iter())
}

fn told<'a>(tests: impl Iterator<Item = &'a Test>) -> String {
    tests.map(|test| format!("`--{}` {}", test.flag, test.check)).collect::<Vec<_>>().join(", ")
}

/// `--authorization-mode`, unless a file decides.
pub(super) fn authorization(check: Check, facts: &Facts) -> Verdict {
    let tests = [test("authorization-mode", check)];
    let arguments = facts.processes.get(&Component::ApiServer).map(Vec::as_slice).unwrap_or_default();
    match flag(arguments, "authorization-config") {
        Some(file) => Verdict::new(Status::Warn, expected(&tests), format!("`{file}` decides: a person has to look")),
        None => judge(Component::ApiServer, &tests, facts),
    }
}

/// Nothing can be said of a component that does not run, and that is not good enough.
pub(super) fn down(component: Component, expected: String, facts: &Facts) -> Verdict {
    if !facts.has(component) {
        return Verdict::new(Status::NotApplicable, expected, format!("there is no {component} on this node"));
    }
    let fix = format!("`bootstrap status` and `bootstrap logs {component}` say why");
    Verdict::fail(expected, format!("{component} does not run"), fix)
}

/// Where the user sets the flags of a component.
pub(super) fn extra_args(component: Component) -> &'static str {
    match component {
        Component::Etcd => "etcd.local.extraArgs",
        Component::ApiServer => "apiServer.extraArgs",
        Component::ControllerManager => "controllerManager.extraArgs",
        Component::Scheduler => "scheduler.extraArgs",
    }
}

fn value(name: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("`--{name}` is `{value}`"),
        None => format!("`--{name}` is not set"),
    }
}

impl Check {
    fn holds(self, value: Option<&str>) -> bool {
        let elements = || value.into_iter().flat_map(|value| value.split(',')).map(str::trim);
        match self {
            Check::Set => value.is_some_and(|value| !value.is_empty()),
            Check::Unset => value.is_none(),
            Check::Is(wanted) => value.is_some_and(|value| same(value, wanted)),
            Check::IsOrUnset(wanted) => value.is_none_or(|value| same(value, wanted)),
            Check::Has(element) => elements().any(|one| one == element),
            Check::HasNot(element) => elements().all(|one| one != element),
            Check::AtLeast(least) => value.is_some_and(|value| value.parse().is_ok_and(|number: u64| number >= least)),
            Check::OnlyOf(allowed) => value.is_some() && elements().all(|one| allowed.contains(&one)),
        }
    }

    fn remedy(self, flag: &str) -> String {
        match self {
            Check::Set => format!("set `{flag}`"),
            Check::Unset => format!("take away `{flag}`"),
            Check::Is(value) | Check::IsOrUnset(value) => format!("set `{flag}` to `{value}`"),
            Check::Has(element) => format!("add `{element}` to `{flag}`"),
            Check::HasNot(element) => format!("take `{element}` out of `{flag}`"),
            Check::AtLeast(least) => format!("set `{flag}` to `{least}`"),
            Check::OnlyOf(allowed) => format!("set `{flag}` to some of `{}`", allowed.join(",")),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Set => f.write_str("is set"),
            Check::Unset => f.write_str("is not set"),
            Check::Is(value) => write!(f, "is `{value}`"),
            Check::IsOrUnset(value) => write!(f, "is `{value}` or not set"),
            Check::Has(element) => write!(f, "has `{element}`"),
            Check::HasNot(element) => write!(f, "does not have `{element}`"),
            Check::AtLeast(least) => write!(f, "is at least {least}"),
            Check::OnlyOf(_) => f.write_str("is set, to strong ones only"),
        }
    }
}

/// Go's flags know more than one word for a truth value.
fn same(value: &str, wanted: &str) -> bool {
    let truth = |word: &str| match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    };
    match wanted {
        "true" | "false" => truth(value) == truth(wanted),
        _ => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_hold_as_the_components_read_their_flags() {
        for (check, holding, failing) in [
            (Check::Set, vec![Some("x")], vec![None, Some("")]),
            (Check::Unset, vec![None], vec![Some("")]),
            (Check::Is("false"), vec![Some("false"), Some("F"), Some("0")], vec![None, Some("true"), Some("")]),
            (Check::Is("0"), vec![Some("0")], vec![Some("false"), None]),
            (Check::IsOrUnset("127.0.0.1"), vec![None, Some("127.0.0.1")], vec![Some("0.0.0.0"), Some("127.0.0.10")]),
            (Check::Has("RBAC"), vec![Some("RBAC"), Some("Node,RBAC")], vec![None, Some("NotRBAC")]),
            (Check::HasNot("A"), vec![None, Some("B,AB")], vec![Some("B,A")]),
            (Check::AtLeast(30), vec![Some("30"), Some("365")], vec![None, Some("29"), Some("-1"), Some("x")]),
            (Check::OnlyOf(&["a", "b"]), vec![Some("a"), Some("b,a")], vec![None, Some("a,c"), Some("")]),
        ] {
            for (values, expected) in [(holding, true), (failing, false)] {
                for value in values {
                    assert_eq!(check.holds(value), expected, "{check:?} {value:?}");
                }
            }
        }
    }
}
