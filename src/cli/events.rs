//! `bootstrap events`

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::age::span;
use super::{Invocation, status};
use crate::control::{Event, Reply, Request};
use crate::error::Result;

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Only of this pod, with or without the node's name behind it
    #[arg(value_name = "POD")]
    pod: Option<String>,
    /// Go on, and show what happens, until interrupted
    #[arg(short, long)]
    watch: bool,
    /// Print everything that is known in this form, one line for each event
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Json,
}

const HEADS: [&str; 5] = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];

pub fn run(args: EventsArgs, invocation: &Invocation) -> Result<()> {
    let (mut seen, mut wait) = (0, false);
    loop {
        let Reply::Events { events, node_name, newest } =
            status::call(&invocation.layout, Request::Events { after: seen, wait })?
        else {
            anyhow::bail!("the runner answered something else than events");
        };
        let meant: Vec<_> =
            events.into_iter().filter(|event| is_meant(event, args.pod.as_deref(), &node_name)).collect();
        show(&meant, &args, wait, invocation)?;
        if !args.watch {
            return Ok(());
        }
        (seen, wait) = (newest, true);
    }
}

fn is_meant(event: &Event, pod: Option<&str>, node_name: &str) -> bool {
    pod.is_none_or(|pod| {
        event.object.kind == "Pod" && (event.object.name == pod || event.object.name == format!("{pod}-{node_name}"))
    })
}

/// `goes_on`: the heads have been shown.
fn show(events: &[Event], args: &EventsArgs, goes_on: bool, invocation: &Invocation) -> Result<()> {
    let report = &invocation.report;
    if let Some(Form::Json) = args.output {
        for event in events {
            report.line(serde_json::to_string(event)?);
        }
        return Ok(());
    }
    let now = Timestamp::now();
    let rows: Vec<_> = events.iter().map(|event| row(event, now)).collect();
    match (goes_on, rows.is_empty(), args.watch) {
        (false, true, false) => report.line("nothing has happened since the runner began"),
        (false, ..) => report.table(&HEADS, &rows),
        (true, ..) => rows.iter().for_each(|row| report.line(row.join("   "))),
    }
    Ok(())
}

fn row(event: &Event, now: Timestamp) -> Vec<String> {
    let age = |at: Timestamp| span(now.duration_since(at));
    let seen = match event.count {
        1 => age(event.last),
        count => format!("{} (x{count} over {})", age(event.last), age(event.first)),
    };
    let container = event.object.field_path.as_deref().and_then(|path| path.split(['{', '}']).nth(1));
    let object = match container {
        Some(container) => format!("{}/{container}", event.object.name),
        None => event.object.name.clone(),
    };
    // a text of several lines would break the table
    let message = event.message.split_whitespace().collect::<Vec<_>>().join(" ");
    vec![seen, event.level.name().to_owned(), event.reason.clone(), object, message]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::control::{EventLevel, Involved};

    fn event(count: u32) -> Event {
        Event {
            revision: 7,
            object: Involved {
                kind: "Pod".to_owned(),
                namespace: "kube-system".to_owned(),
                name: "etcd-n1".to_owned(),
                uid: "u".to_owned(),
                field_path: Some("spec.containers{etcd}".to_owned()),
            },
            level: EventLevel::Warning,
            reason: "Unhealthy".to_owned(),
            message: "Readiness probe failed:\n  no".to_owned(),
            count,
            first: Timestamp::from_second(0).unwrap(),
            last: Timestamp::from_second(60).unwrap(),
        }
    }

    #[test]
    fn a_row_tells_how_often_and_since_when() {
        let now = Timestamp::from_second(100).unwrap();
        let expected = ["40s", "Warning", "Unhealthy", "etcd-n1/etcd", "Readiness probe failed: no"];
        assert_eq!(row(&event(1), now), expected);
        assert_eq!(row(&event(3), now)[0], "40s (x3 over 100s)");
    }

    #[test]
    fn a_pod_is_meant_with_and_without_the_nodes_name() {
        for (pod, expected) in [(None, true), (Some("etcd"), true), (Some("etcd-n1"), true), (Some("etc"), false)] {
            assert_eq!(is_meant(&event(1), pod, "n1"), expected, "{pod:?}");
        }
    }
}
