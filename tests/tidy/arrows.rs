//! Arrows between modules point one way.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::graph::{Arrow, Tree, forbidden};
use super::layers::ORDER;
use super::{shown, sources};

fn order() -> Vec<&'static str> {
    ORDER.iter().map(|layer| layer.name).collect()
}

pub(crate) fn tree() -> Tree {
    Tree::of(sources("src").into_iter().map(|source| {
        let path = shown(&source.path).replace('\\', "/");
        (path.trim_start_matches("src/").to_owned(), source.text)
    }))
}

#[test]
fn modules_use_each_other_one_way() {
    let arrows = tree().arrows();
    let found = forbidden(&arrows, &order());
    println!("{}", report(&arrows, &found));
    let all: Vec<_> = found
        .iter()
        .map(|(arrow, why)| format!("{arrow} {why}\n{}", places(arrow)))
        .collect();
    assert!(
        all.is_empty(),
        "\n{}\nA module uses only those before it in tests/tidy/layers.rs, and files of a folder make no cycle.\n\
         Move what is shared below both, or hand it in.\n",
        all.join("\n")
    );
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let order = order();
    let tree = tree();
    let stray: Vec<_> = tree
        .top_level()
        .filter(|name| !order.contains(name))
        .collect();
    assert!(
        stray.is_empty(),
        "\nsay in tests/tidy/layers.rs where they stand: {stray:?}\n"
    );
}

/// All that is forbidden by folder, the cheapest to cut first.
fn report(arrows: &[Arrow], found: &[(&Arrow, &str)]) -> String {
    let mut text = String::new();
    let folders: BTreeSet<_> = arrows.iter().map(|arrow| arrow.folder.as_str()).collect();
    for folder in folders {
        let all = arrows.iter().filter(|arrow| arrow.folder == folder).count();
        let mut here: Vec<_> = found
            .iter()
            .filter(|(arrow, _)| arrow.folder == folder)
            .collect();
        here.sort_by_key(|(arrow, _)| arrow.uses.len());
        _ = writeln!(
            text,
            "{folder}: {all} arrows, {} of them against the order",
            here.len()
        );
        for (arrow, why) in here {
            let (from, to, uses) = (&arrow.from, &arrow.to, arrow.uses.len());
            _ = writeln!(
                text,
                "  {from} -> {to} {why}, {uses} uses\n{}",
                places(arrow)
            );
        }
    }
    text
}

/// Where an arrow comes from; the first few, because others are of the same kind.
fn places(arrow: &Arrow) -> String {
    let lines = arrow
        .uses
        .iter()
        .take(12)
        .map(|(place, name)| format!("      {place}: {name}"));
    lines.collect::<Vec<_>>().join("\n")
}
