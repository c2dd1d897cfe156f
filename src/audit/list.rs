//! The items of the benchmark, as data: one file for each section.

mod api_server;
mod control_plane;
mod controllers;
mod etcd;
mod files;
mod node;

use super::rule::Rule;
use super::{Item, Kind};

/// In the benchmark's order.
pub(super) const SECTIONS: &[&[Item]] =
    &[files::ITEMS, api_server::ITEMS, controllers::ITEMS, etcd::ITEMS, control_plane::ITEMS, node::ITEMS];

const fn automated(id: &'static str, title: &'static str, rule: Rule) -> Item {
    Item { id, title, kind: Kind::Automated, rule }
}

const fn manual(id: &'static str, title: &'static str, rule: Rule) -> Item {
    Item { id, title, kind: Kind::Manual, rule }
}
