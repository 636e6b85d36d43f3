//! The public API as the sources have it, compared with the listing in `api.txt`.
//!
//! Each public path is listed with what it names: signatures, public fields, variants, methods, and the traits that are
//! implemented. Macros that make public items are listed as they stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::arrows::tree;
use super::graph::{Path, Tree};
use super::items::{Item, Kind, items};
use super::scan::Scan;
use super::{assert_none, root, shown, sources};

const LIST: &str = "tests/tidy/api.txt";

/// Names at the crate's root, modules and macros apart.
const MAX_ROOT_NAMES: usize = 50;

/// Names of `actix::prelude` that a program may write without a path.
const ACTIX_PRELUDE: &[&str] = &[
    "Actor",
    "ActorContext",
    "ActorFuture",
    "ActorFutureExt",
    "ActorResponse",
    "ActorState",
    "ActorStream",
    "ActorStreamExt",
    "ActorTryFuture",
    "ActorTryFutureExt",
    "Addr",
    "Arbiter",
    "ArbiterHandle",
    "ArbiterService",
    "AsyncContext",
    "AtomicResponse",
    "Condition",
    "Context",
    "ContextFutureSpawner",
    "Handler",
    "IntervalFunc",
    "MailboxError",
    "Message",
    "MessageResponse",
    "MessageResult",
    "Recipient",
    "RecipientRequest",
    "Request",
    "Response",
    "ResponseActFuture",
    "ResponseFuture",
    "Running",
    "SendError",
    "SpawnHandle",
    "Stream",
    "StreamHandler",
    "Supervised",
    "Supervisor",
    "SyncArbiter",
    "SyncContext",
    "System",
    "SystemRunner",
    "SystemService",
    "TimerFunc",
    "WrapFuture",
    "WrapStream",
    "actors",
    "dev",
    "fut",
    "io",
];

struct Api<'a> {
    tree: &'a Tree,
    items: BTreeMap<&'a Path, Vec<Item>>,
    /// What a public path names: where it is defined, and its name there.
    paths: BTreeMap<Vec<String>, (Path, String)>,
}

impl<'a> Api<'a> {
    fn of(tree: &'a Tree) -> Self {
        let items = tree
            .files()
            .map(|(path, tokens)| (path, items(tokens)))
            .collect();
        let mut api = Self {
            tree,
            items,
            paths: BTreeMap::new(),
        };
        api.module(&Vec::new(), &mut BTreeSet::new());
        api
    }

    /// Lists a public module, and those in it.
    fn module(&mut self, module: &Path, seen: &mut BTreeSet<Path>) {
        if !seen.insert(module.clone()) {
            return;
        }
        let own = self.items.get(module).into_iter().flatten();
        let own = own.filter(|item| item.public && item.kind == Kind::Named);
        let own: Vec<_> = own.map(|item| item.name.clone()).collect();
        for name in own {
            self.paths
                .insert(below(module, &name), (module.clone(), name));
        }
        for (name, target) in self.tree.exports(module) {
            self.paths.insert(below(module, &name), target);
        }
        for child in self.tree.public_children(module) {
            self.module(&below(module, &child), seen);
        }
    }

    fn listing(&self) -> String {
        let mut lines = Vec::new();
        let mut told: BTreeMap<&(Path, String), &Vec<String>> = BTreeMap::new();
        // A module's own path comes before the shorter one at the root, and before the prelude's.
        let mut paths: Vec<_> = self.paths.iter().collect();
        paths.sort_by_key(|(path, _)| (path[0] == "prelude", path.len() == 1, *path));
        for (path, target) in paths {
            let shown = path.join("::");
            if let Some(first) = told.get(target) {
                lines.push(format!("{shown} = {}", first.join("::")));
                continue;
            }
            told.insert(target, path);
            lines.push(shown);
            lines.extend(
                self.described(target)
                    .into_iter()
                    .map(|line| format!("    {line}")),
            );
        }
        lines.push("macros".to_owned());
        for item in self
            .items
            .values()
            .flatten()
            .filter(|item| item.kind == Kind::Macro)
        {
            let body = item.inner.join(" ");
            let makes_items = body.contains("pub ") && !body.replace("pub(", "").trim().is_empty();
            if makes_items || body.contains("$define!") || item.head.contains("macro_export") {
                lines.push(format!("    {}: {body}", item.head));
            }
        }
        lines.join("\n") + "\n"
    }

    fn described(&self, target: &(Path, String)) -> Vec<String> {
        let (module, name) = target;
        let mut lines = Vec::new();
        let own = self.items.get(module).into_iter().flatten();
        for item in own.filter(|item| item.kind == Kind::Named && item.name == *name) {
            lines.push(item.head.clone());
            lines.extend(item.inner.iter().map(|line| format!("    {line}")));
        }
        if lines.is_empty() {
            lines.push(match module[..] {
                _ if module[0] == "::" => format!("{name}, of another crate"),
                _ if module.last() == Some(name) => "a module, or a macro".to_owned(),
                _ => "made by a macro, see below".to_owned(),
            });
        }
        let mut implemented = BTreeSet::new();
        for (place, items) in &self.items {
            for item in items.iter().filter(|item| item.name == *name) {
                let is_it = matches!(item.kind, Kind::Methods | Kind::Trait)
                    && self.tree.names(place, name) == (module.clone(), name.clone());
                let seen = item.kind == Kind::Trait && !self.has_private_names(place, &item.head)
                    || !item.inner.is_empty();
                if is_it && seen {
                    let mut block = vec![item.head.clone()];
                    block.extend(item.inner.iter().map(|line| format!("    {line}")));
                    implemented.insert(block);
                }
            }
        }
        lines.extend(implemented.into_iter().flatten());
        lines
    }

    /// Whether the head of an `impl` names what is public nowhere, so that nobody outside can see it.
    fn has_private_names(&self, place: &Path, head: &str) -> bool {
        let is_private = |word: &str| {
            let target = self.tree.names(place, word);
            let mut own = self.items.get(&target.0).into_iter().flatten();
            own.any(|item| item.kind == Kind::Named && item.name == target.1)
                && !self.paths.values().any(|public| *public == target)
        };
        let words = head.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| !word.is_empty()).any(is_private)
    }
}

fn below(path: &Path, name: &str) -> Path {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

#[test]
fn the_public_api_is_the_listed_one() {
    let tree = tree();
    let today = Api::of(&tree).listing();
    let path = root().join(LIST);
    let listed = fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("AIOMSG_ACCEPT").is_some() {
        fs::write(path, today).unwrap();
        return;
    }
    let (old, new): (BTreeSet<_>, BTreeSet<_>) =
        (listed.lines().collect(), today.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    let come = new.difference(&old).map(|line| format!("+ {line}"));
    let changes: Vec<_> = gone.chain(come).collect();
    assert!(
        listed == today,
        "\n{}\nThe public API is not the listed one. If that is meant, say so in CHANGELOG.md and run\n\
         AIOMSG_ACCEPT=1 cargo test --test tidy public_api, which writes {LIST} anew.\n",
        changes.join("\n")
    );
}

#[test]
fn the_root_has_few_names() {
    let tree = tree();
    let api = Api::of(&tree);
    let names: Vec<_> = api
        .paths
        .keys()
        .filter(|path| path.len() == 1)
        .map(|path| &path[0])
        .collect();
    assert!(names.contains(&&"Socket".to_owned()), "{names:?}");
    assert!(
        names.len() <= MAX_ROOT_NAMES,
        "{} names at the root: {names:?}",
        names.len()
    );
}

#[test]
fn the_prelude_shares_no_name_with_that_of_actix() {
    let tree = tree();
    let api = Api::of(&tree);
    let names = api
        .paths
        .keys()
        .filter(|path| path[0] == "prelude")
        .filter_map(|path| path.get(1));
    let names: BTreeSet<_> = names.map(String::as_str).collect();
    assert!(names.contains("Socket"), "{names:?}");
    let shared: Vec<_> = ACTIX_PRELUDE
        .iter()
        .filter(|name| names.contains(*name))
        .collect();
    assert!(shared.is_empty(), "in both preludes: {shared:?}");
}

/// Other names of ours that examples may write: each with the reason why the prelude does not have it, or they do not take it from there.
const BESIDE_THE_PRELUDE: &[(&str, &str)] = &[
    ("payload", "the messages of an example need nothing else"),
    ("web", "`actix_web` has a module of this name"),
    ("error::SendError", "`actix` has a type of this name"),
];

#[test]
fn what_the_examples_import_of_ours_is_in_the_prelude() {
    let mut problems = Vec::new();
    for source in sources("examples") {
        let scan = Scan::of(&source.text);
        let imports = scan.imports.iter().map(|import| match &*import.name {
            "*" => (format!("{}::*", import.path.join("::")), import.line),
            _ => (import.path.join("::"), import.line),
        });
        let paths = scan
            .paths
            .iter()
            .map(|used| (used.path.join("::"), used.line));
        for (path, line) in imports.chain(paths) {
            let Some(ours) = path.strip_prefix("actix_aiomsg::") else {
                continue;
            };
            let ours = ours.trim_end_matches("::*");
            let is_beside = BESIDE_THE_PRELUDE.iter().any(|(name, _)| *name == ours);
            if ours != "prelude" && !is_beside {
                problems.push(format!("{}:{line}: {path}", shown(&source.path)));
            }
        }
    }
    assert_none(&problems);
}
