//! Draining: every pod is stopped, wave by wave, and stays so.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::control::Reply;
use crate::runner::worker::machine::Drain;

pub(super) struct Draining {
    waves: Vec<Vec<String>>,
    grace: Option<Duration>,
    /// Who is to be told of the end.
    replies: Vec<oneshot::Sender<Reply>>,
}

impl Draining {
    pub(super) fn new(waves: Vec<Vec<String>>) -> Self {
        Draining { waves, grace: None, replies: Vec::new() }
    }

    /// Another request for the same thing may shorten the grace, never lengthen it.
    pub(super) fn join(&mut self, grace: Option<Duration>, reply: oneshot::Sender<Reply>) {
        self.grace = [self.grace, grace].into_iter().flatten().min();
        self.replies.push(reply);
    }

    pub(super) fn order(&self) -> Drain {
        Drain { grace: self.grace }
    }

    /// Of the full names that are left, those to be stopped now; all of them when no wave names any.
    pub(super) fn next<'a>(&self, left: impl Iterator<Item = &'a str> + Clone, node: &str) -> Vec<String> {
        let suffix = format!("-{}", node.to_lowercase());
        let is_in = |wave: &[String], full_name: &str| {
            let name = full_name.split_once('_').map_or(full_name, |(name, _)| name);
            wave.iter().any(|member| member == name || Some(member.as_str()) == name.strip_suffix(&suffix))
        };
        let members = |wave: &Vec<String>| -> Vec<String> {
            left.clone().filter(|name| is_in(wave, name)).map(str::to_owned).collect()
        };
        let wave = self.waves.iter().map(members).find(|wave| !wave.is_empty());
        wave.unwrap_or_else(|| left.clone().map(str::to_owned).collect())
    }

    pub(super) fn finish(&mut self) {
        for reply in self.replies.drain(..) {
            // whoever asked may have gone
            let _ = reply.send(Reply::Done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_are_stopped_one_after_the_other_and_the_rest_last() {
        let waves = [["kube-apiserver", "kube-scheduler"].as_slice(), ["etcd"].as_slice()];
        let waves = waves.iter().map(|wave| wave.iter().map(|name| (*name).to_owned()).collect()).collect();
        let draining = Draining::new(waves);
        let mut left = vec!["web-n1_default", "etcd-n1_kube-system", "kube-apiserver-n1_kube-system"];
        let mut order = Vec::new();
        while !left.is_empty() {
            let wave = draining.next(left.iter().copied(), "N1");
            left.retain(|name| !wave.contains(&(*name).to_owned()));
            order.push(wave);
        }
        assert_eq!(order, [vec!["kube-apiserver-n1_kube-system"], vec!["etcd-n1_kube-system"], vec!["web-n1_default"]]);
    }
}
