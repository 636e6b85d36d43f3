//! Arrows between modules point one way. Those that do not yet are listed in `arrows.txt`, which only ever shrinks.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use super::graph::{Arrow, Tree, forbidden};
use super::layers::ORDER;
use super::{root, shown, sources};

const LIST: &str = "tests/tidy/arrows.txt";

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
    let list = fs::read_to_string(root().join(LIST)).unwrap_or_default();
    let known: BTreeSet<_> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let today: BTreeSet<_> = found.iter().map(|(arrow, _)| arrow.to_string()).collect();
    let today: BTreeSet<_> = today.iter().map(String::as_str).collect();
    let gone: Vec<_> = known.difference(&today).collect();
    let new: Vec<_> = found
        .iter()
        .filter(|(arrow, _)| !known.contains(arrow.to_string().as_str()))
        .map(|(arrow, why)| format!("{arrow} {why}\n{}", places(arrow)))
        .collect();
    let accepted = std::env::var_os("AIOMSG_ACCEPT").is_some();
    if accepted && today.len() <= known.len() {
        let comments = list.lines().filter(|line| line.starts_with('#'));
        let lines: Vec<_> = comments.chain(today.iter().copied()).collect();
        fs::write(root().join(LIST), lines.join("\n") + "\n").unwrap();
        return;
    }
    assert!(
        new.is_empty(),
        "\n{}\nA module uses only those before it in tests/tidy/layers.rs, and files of a folder make no cycle.\n\
         Move what is shared below both, or hand it in. (Where files were renamed and the list grows no longer,\n\
         AIOMSG_ACCEPT=1 writes it anew.)\n",
        new.join("\n")
    );
    assert!(
        gone.is_empty(),
        "\nThese arrows are gone; take them from {LIST}, or run this test with AIOMSG_ACCEPT=1:\n{gone:#?}\n"
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
