//! The rules of docs/architecture.md that the compiler does not hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that decide: they touch no file, clock, network, runtime or kernel interface.
const PURE: &[&str] = &[
    "audit",
    "config",
    "desired",
    "phase",
    "plan",
    "preflight",
    "release",
    "layout",
    "runner/api/node/object",
    "runner/api/mirror/decide",
    "runner/api/mirror/object",
    "runner/worker/machine",
    "runner/worker/backoff",
    "runner/runtime/spec",
    "runner/status",
    "runner/worker/adopt",
    "runner/worker/told",
    "runner/worker/words",
    "runner/pod",
    "runner/pods/choice",
    "runner/pods/refused",
    "runner/admission",
    "runner/container",
    "runner/cri/convert",
    "runner/cri/select",
    "runner/cri/status",
    "runner/cri/streaming/expected",
    "runner/dns",
    "runner/hostname",
    "runner/net/cni/configuration",
    "runner/net/nftables",
    "runner/net/ruleset",
    "runner/env",
    "runner/node",
    "runner/resources",
    "runner/logs/lines",
    "runner/runtime/log/rotated",
    "runner/metrics/histogram",
    "runner/metrics/startup",
    "runner/server/cache",
    "runner/server/configz",
    "runner/server/identity",
    "runner/server/metrics",
    "runner/server/query",
    "runner/server/route",
    "runner/server/spdy/dictionary",
    "runner/server/spdy/frame",
    "runner/server/spdy/headers",
    "runner/server/spdy/window",
    "runner/server/summary",
    "runner/probe/tally",
    "image/digest",
    "image/manifest",
    "image/policy",
    "image/reference",
    "image/registry/challenge",
    "linux/cgroup/limits",
    "cli/age",
    "cli/describe/story",
];

/// What a pure module never names.
const EFFECTS: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::process",
    "std::env::var",
    "std::env::arg",
    "std::env::current",
    "tokio::",
    "nix::",
    "procfs::",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "OffsetDateTime::now",
    "crate::files",
    "crate::linux",
    "crate::host",
    "crate::cli",
    "crate::image::store",
    // a log is an effect; its levels are words
    "tracing::error!",
    "tracing::warn!",
    "tracing::info!",
    "tracing::debug!",
];

/// Module and what it must not use: decisions never use effects, `host` and `runner` do not know each other, and
/// nothing uses the command line.
const FORBIDDEN: &[(&str, &str)] = &[
    ("host", "crate::runner"),
    ("runner", "crate::host"),
    ("runner", "crate::phase"),
    ("runner", "crate::plan"),
    ("image", "crate::runner"),
    ("image", "crate::host"),
    ("config", "crate::desired"),
    ("config", "crate::plan"),
    ("desired", "crate::plan"),
    ("desired", "crate::phase"),
    ("plan", "crate::phase"),
    ("plan", "crate::apply"),
    ("phase", "crate::apply"),
    ("apply", "crate::host"),
    ("apply", "crate::runner"),
    ("apply", "crate::image"),
    ("image", "crate::control"),
    ("image", "crate::config"),
    ("image", "crate::desired"),
    ("runner", "crate::config"),
    ("runner", "crate::desired"),
    ("runner", "crate::apply"),
    ("control", "crate::host"),
    ("control", "crate::runner"),
    ("control", "crate::image"),
    ("linux", "crate::layout"),
    ("linux", "crate::files"),
    ("linux", "crate::image"),
    ("linux", "crate::runner"),
    ("linux", "crate::host"),
];

/// Library code by path without `src/` and `.rs`, up to the inline tests and without comments.
fn sources() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().with_extension("");
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                let code = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>();
                sources.insert(name.to_string_lossy().into_owned(), code.join("\n"));
            }
        }
    }
    sources
}

fn is_in(file: &str, module: &str) -> bool {
    file == module || file.starts_with(&format!("{module}/"))
}

#[test]
fn pure_modules_have_no_effects() {
    let sources = sources();
    for module in PURE {
        assert!(sources.keys().any(|file| is_in(file, module)), "there is no module `{module}`");
    }
    let mut broken = Vec::new();
    for (file, code) in &sources {
        if PURE.iter().any(|module| is_in(file, module)) && !file.ends_with("/tests") && !file.contains("/tests/") {
            // the names and numbers of signals, which asks the kernel nothing
            let code = code.replace("nix::sys::signal::Signal", "");
            broken.extend(
                EFFECTS.iter().filter(|effect| code.contains(**effect)).map(|effect| format!("{file}: {effect}")),
            );
        }
    }
    assert!(broken.is_empty(), "pure modules with effects: {broken:#?}");
}

#[test]
fn no_module_uses_what_it_must_not_know() {
    let mut broken = Vec::new();
    for (file, code) in sources() {
        for (module, forbidden) in FORBIDDEN {
            if is_in(&file, module) && code.contains(forbidden) {
                broken.push(format!("{file} uses {forbidden}"));
            }
        }
        // files are the runner's truth: only what tells the API of them knows that there is one
        if code.contains("crate::api") && is_in(&file, "runner") && !is_in(&file, "runner/api") {
            broken.push(format!("{file} uses the API"));
        }
        if code.contains("crate::cli") && !is_in(&file, "cli") && file != "main" {
            broken.push(format!("{file} uses the command line"));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn unsafe_code_is_in_the_linux_module_only() {
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(file, code)| {
            !is_in(file, "linux") && (code.contains("unsafe {") || code.contains("allow(unsafe_code)"))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(broken.is_empty(), "unsafe outside src/linux: {broken:?}");
}

#[test]
fn only_the_report_writes_to_the_standard_streams() {
    // processes of their own, whose standard output goes to the runner that has spawned them
    let is_writer = |file: &str| ["cli/report", "runner/runtime/shim", "runner/runtime/pause"].contains(&file);
    let writers = ["println!", "eprintln!", "print!(", "eprint!(", "io::stdout", "io::stderr"];
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(file, code)| !is_writer(file) && writers.iter().any(|writer| code.contains(writer)))
        .map(|(file, _)| file)
        .collect();
    assert!(broken.is_empty(), "writers beside cli/report.rs: {broken:?}");
}

#[test]
fn nothing_starts_a_shell() {
    let broken: Vec<_> = sources()
        .into_iter()
        .filter(|(_, code)| {
            ["\"sh\"", "\"bash\"", "\"/bin/sh\"", "\"/bin/bash\""].iter().any(|shell| code.contains(shell))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
}
