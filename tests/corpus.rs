//! The fuzzers' committed corpora, replayed by the checks that the fuzzers make.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../fuzz/checks.rs"]
mod checks;
#[path = "../fuzz/connection.rs"]
mod connection;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let entries = fs::read_dir(&folder).expect("the corpus is committed");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{target}: only {} inputs", files.len());
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file).unwrap());
    }
}

#[test]
fn the_frame_walk_corpus_holds() {
    replay("frame_walk", checks::frame_walk);
}

#[test]
fn the_codec_corpus_holds() {
    replay("codec", checks::codec);
}

#[test]
fn the_connection_corpus_holds() {
    replay("connection", connection::connection);
}
